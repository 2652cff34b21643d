import { type Api, unwrap } from "../api/client.ts";
import { Problem } from "../api/problem.ts";
import { parseEvent } from "../event/event.ts";
import { formatCursor } from "./buffer.ts";
import type { FeedStore } from "./store.ts";

/** How many sequences of the log one request goes back. */
const STEP = 500;

/** Adds older events at the start of the list, unless the list restarts before they arrive. */
export async function loadOlder(api: Api, feed: FeedStore): Promise<void> {
  const { from } = feed.get().buffer;
  if (!from) return;
  let start = { ...from, sequence: Math.max(from.sequence - STEP, 0) };
  const signal = feed.listSignal;
  const fetchAfter = (after: string) =>
    unwrap(api.GET("/api/events", { params: { query: { after, limit: STEP } }, signal }));
  const page = await fetchAfter(start.sequence === 0 ? "earliest" : formatCursor(start))
    // 410: the first events of the log were erased, and the remaining ones begin after this position.
    .catch((error: unknown) => {
      if (!(error instanceof Problem && error.status === 410)) throw error;
      start = { ...from, sequence: 0 };
      return fetchAfter("earliest");
    })
    .catch((error: unknown) => {
      if (signal.aborted) return null;
      throw error;
    });
  const { buffer } = feed.get();
  // A list that starts elsewhere by now would get a gap.
  if (!page || signal.aborted || buffer.from !== from) return;
  const events = page.events.flatMap((value) => parseEvent(value) ?? []);
  // Where events were erased, the page also contains events that are in the list already.
  const end = events.findIndex((event) => event.id === buffer.items[0]?.id);
  feed.addOlder(end < 0 ? events : events.slice(0, end), start);
}
