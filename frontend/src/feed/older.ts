import { type Api, answer } from "../api/client.ts";
import { Problem } from "../api/problem.ts";
import { parseEvent } from "../event/event.ts";
import { formatCursor } from "./buffer.ts";
import type { FeedStore } from "./store.ts";

/** How much of the log one request goes back. */
const STEP = 500;

/** Puts what came before the first event into the list, if it is still the same one when the answer comes. */
export async function loadOlder(api: Api, feed: FeedStore): Promise<void> {
  const { from } = feed.get().buffer;
  if (!from) return;
  let start = { ...from, sequence: Math.max(from.sequence - STEP, 0) };
  const signal = feed.listSignal;
  const ask = (after: string) =>
    answer(api.GET("/api/events", { params: { query: { after, limit: STEP } }, signal }));
  const page = await ask(start.sequence === 0 ? "earliest" : formatCursor(start))
    // Where the first events of the log were erased, what is left begins after that place.
    .catch((error: unknown) => {
      if (!(error instanceof Problem && error.status === 410)) throw error;
      start = { ...from, sequence: 0 };
      return ask("earliest");
    })
    .catch((error: unknown) => {
      if (signal.aborted) return null;
      throw error;
    });
  const { buffer } = feed.get();
  // A list that begins elsewhere by now would have a hole.
  if (!page || signal.aborted || buffer.from !== from) return;
  const events = page.events.flatMap((value) => parseEvent(value) ?? []);
  // The page goes on into what is in the list, where something was erased between.
  const end = events.findIndex((event) => event.id === buffer.items[0]?.id);
  feed.addOlder(end < 0 ? events : events.slice(0, end), start);
}
