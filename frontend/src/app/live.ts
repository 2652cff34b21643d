import type { QueryClient } from "@tanstack/react-query";
import { groupOf, type RecordedEvent, userOf } from "../event/event.ts";
import type { FeedStore } from "../feed/store.ts";
import type { NameBook } from "./names.ts";

/** Lists are not asked for again more often than this, however many events come. */
const REFRESH_MS = 1_000;

/** Which answers an event makes untrue. */
export function touchedBy(event: RecordedEvent, own: number): readonly (readonly unknown[])[] {
  const user = userOf(event);
  const group = groupOf(event);
  return [
    ...(user === null ? [] : [["users"], ["user", user]]),
    ...(group === null ? [] : [["groups"], ["group", group]]),
    ...(user === own ? [["me"]] : []),
    ["activity"],
  ];
}

/** Keeps what pages show true while events flow. Returns how to stop. */
export function keepLive(feed: FeedStore, queries: QueryClient, names: NameBook, own: number): () => void {
  const touched = new Set<string>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const refresh = () => {
    timer = undefined;
    const due = new Set(touched);
    touched.clear();
    void queries.invalidateQueries({ predicate: ({ queryKey }) => isTouched(queryKey, due) });
  };
  const stop = feed.onArrival((events) => {
    names.learnFrom(events);
    for (const event of events) {
      for (const key of touchedBy(event, own)) touched.add(JSON.stringify(key));
    }
    timer ??= setTimeout(refresh, REFRESH_MS);
  });
  return () => {
    clearTimeout(timer);
    stop();
  };
}

function isTouched(queryKey: readonly unknown[], touched: ReadonlySet<string>): boolean {
  return [1, 2].some((length) => touched.has(JSON.stringify(queryKey.slice(0, length))));
}
