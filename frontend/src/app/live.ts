import type { QueryClient } from "@tanstack/react-query";
import { groupOf, type RecordedEvent, userOf } from "../event/event.ts";
import type { FeedStore } from "../feed/store.ts";
import type { NameCache } from "./name-cache.ts";

/** Stale queries are refetched at most once in this time, however many events arrive. */
const REFRESH_MS = 1_000;

/** Keys of the queries whose results an event makes stale. */
export function staleKeys(event: RecordedEvent, ownPk: number): readonly (readonly unknown[])[] {
  const user = userOf(event);
  const group = groupOf(event);
  return [
    ...(user === null ? [] : [["users"], ["user", user]]),
    ...(group === null ? [] : [["groups"], ["group", group]]),
    ...(user === ownPk ? [["me"]] : []),
    ["activity"],
  ];
}

/** Refetches stale queries and updates names while events arrive. Returns a function that stops it. */
export function refreshOnEvents(
  feed: FeedStore,
  queries: QueryClient,
  names: NameCache,
  ownPk: number,
): () => void {
  const stale = new Set<string>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const refresh = () => {
    timer = undefined;
    const due = new Set(stale);
    stale.clear();
    void queries.invalidateQueries({ predicate: ({ queryKey }) => isStale(queryKey, due) });
  };
  const stop = feed.onArrival((events) => {
    names.learnFromEvents(events);
    for (const event of events) {
      for (const key of staleKeys(event, ownPk)) stale.add(JSON.stringify(key));
    }
    timer ??= setTimeout(refresh, REFRESH_MS);
  });
  return () => {
    clearTimeout(timer);
    stop();
  };
}

function isStale(queryKey: readonly unknown[], stale: ReadonlySet<string>): boolean {
  return [1, 2].some((length) => stale.has(JSON.stringify(queryKey.slice(0, length))));
}
