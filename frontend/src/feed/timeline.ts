import { useEffect, useMemo, useState, useSyncExternalStore } from "react";
import { useApp } from "../app/context.tsx";
import { CAPACITY, type Cursor, hasReached, type Item } from "./buffer.ts";
import { eventsAbout } from "./filter.ts";
import { endOf, type HistoryPage, hasBeginning, itemsOf, nextRange } from "./history.ts";

/** The part of a history query that a timeline uses. */
export interface History {
  data: { pages: readonly HistoryPage[] } | undefined;
  error: unknown;
  isFetching: boolean;
  isError: boolean;
  fetchNextPage: () => unknown;
}

export type Subject = { user: number } | { group: string };

/** Whether a timeline is still loading, and whether it shows all events or only the newest. */
export type Completeness = "loading" | "failed" | "complete" | "truncated";

export interface Timeline {
  /** Oldest first. */
  items: readonly Item[];
  completeness: Completeness;
}

/** The events about one subject, or the newest of them: its history and the feed's events since. */
export function useTimeline(history: History, subject: Subject): Timeline {
  const { data, isFetching, isError, fetchNextPage } = history;
  const live = useLiveEvents(subject);
  const pages = data?.pages ?? NO_PAGES;
  // The effect below depends on the range because it changes with each page. `hasNextPage` and `isFetching` can stay the
  // same when responses are fast.
  const range = useMemo(() => nextRange(pages), [pages]);
  const key = keyOf(subject);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the key replaces the subject, which is a new object in each render
  const all = useMemo(
    () => withLive(eventsAbout(itemsOf(pages), subject), endOf(pages), live),
    [pages, live, key],
  );
  const items = useMemo(() => all.slice(-CAPACITY), [all]);
  useEffect(() => {
    if (pages.length > 0 && range && !isFetching && !isError) fetchNextPage();
  }, [pages, range, isFetching, isError, fetchNextPage]);
  if (hasBeginning(pages) && items.length === all.length) return { items, completeness: "complete" };
  if (range === null) return { items, completeness: "truncated" };
  return { items, completeness: isError ? "failed" : "loading" };
}

const NO_PAGES: readonly HistoryPage[] = [];

function keyOf(subject: Subject): number | string {
  return "user" in subject ? subject.user : subject.group;
}

/** The feed's events about a subject since the page was opened. The feed itself drops them when newer events arrive. */
function useLiveEvents(subject: Subject): readonly Item[] {
  const { feed } = useApp();
  const viewerVersion = useSyncExternalStore(feed.subscribe, () => feed.get().viewerVersion);
  const [live, setLive] = useState<readonly Item[]>([]);
  const key = keyOf(subject);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the key replaces the subject; another viewer must not see earlier events
  useEffect(() => {
    setLive(eventsAbout(feed.get().buffer.items, subject));
    return feed.onArrival((arrived) => setLive((before) => merge(before, eventsAbout(arrived, subject))));
  }, [feed, key, viewerVersion]);
  return live;
}

/** Adds arrived events, each once, and keeps the newest. */
function merge(live: readonly Item[], arrived: readonly Item[]): readonly Item[] {
  // Cursors and events of different logs cannot be combined.
  const isSameLog = arrived[0]?.cursor?.epoch === live.at(-1)?.cursor?.epoch;
  const kept = isSameLog || arrived.length === 0 ? live : [];
  const ids = new Set(kept.map(({ id }) => id));
  const added = arrived.filter(({ id }) => !ids.has(id) && ids.add(id));
  return added.length === 0 ? live : [...kept, ...added].slice(-CAPACITY);
}

/** Adds live events that the history up to `end` does not contain. */
function withLive(past: readonly Item[], end: Cursor | null, live: readonly Item[]): readonly Item[] {
  const ids = new Set(past.map(({ id }) => id));
  // Items without a cursor come from a history page, so they are not later than the history.
  const isLater = (cursor: Cursor | null) => end === null || (cursor !== null && !hasReached(end, cursor));
  return [...past, ...live.filter(({ id, cursor }) => !ids.has(id) && isLater(cursor))];
}
