import { useEffect, useMemo, useState, useSyncExternalStore } from "react";
import { useApp } from "../app/context.tsx";
import { CAPACITY, type Cursor, type Item, isCovered } from "./buffer.ts";
import { about } from "./filter.ts";
import { endOf, type HistoryPage, hasBeginning, itemsOf, nextStretch } from "./history.ts";

/** Pages of history, as a query gives them. */
interface History {
  data: { pages: readonly HistoryPage[] } | undefined;
  isFetching: boolean;
  isError: boolean;
  fetchNextPage: () => unknown;
}

type Subject = { user: number } | { group: string };

/** How far back a list goes: not as far as it will yet, to the beginning, or to where it is cut. */
export type Reach = "loading" | "failed" | "beginning" | "cut";

export interface Timeline {
  /** Oldest first. */
  items: readonly Item[];
  reach: Reach;
}

/** Everything about one subject, or the newest of it: its history, and what came by the feed since. */
export function useTimeline(history: History, subject: Subject): Timeline {
  const { data, isFetching, isError, fetchNextPage } = history;
  const live = useLive(subject);
  const pages = data?.pages ?? NONE;
  // Another one after each page, unlike whether there is one, and unlike whether one is on its way where answers are fast.
  const next = useMemo(() => nextStretch(pages), [pages]);
  const key = keyOf(subject);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the key stands for the subject, which is made anew at each turn
  const all = useMemo(() => goneOn(about(itemsOf(pages), subject), endOf(pages), live), [pages, live, key]);
  const items = useMemo(() => all.slice(-CAPACITY), [all]);
  useEffect(() => {
    if (pages.length > 0 && next && !isFetching && !isError) fetchNextPage();
  }, [pages, next, isFetching, isError, fetchNextPage]);
  if (hasBeginning(pages) && items.length === all.length) return { items, reach: "beginning" };
  if (next === null) return { items, reach: "cut" };
  return { items, reach: isError ? "failed" : "loading" };
}

const NONE: readonly HistoryPage[] = [];

function keyOf(subject: Subject): number | string {
  return "user" in subject ? subject.user : subject.group;
}

/** What the feed brings of a subject as long as somebody looks: the feed itself makes room for others. */
function useLive(subject: Subject): readonly Item[] {
  const { feed } = useApp();
  const audience = useSyncExternalStore(feed.subscribe, () => feed.get().audience);
  const [live, setLive] = useState<readonly Item[]>([]);
  const key = keyOf(subject);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the key stands for the subject; another audience may not see what was there
  useEffect(() => {
    setLive(about(feed.get().buffer.items, subject));
    return feed.onArrival((arrived) => setLive((before) => joined(before, about(arrived, subject))));
  }, [feed, key, audience]);
  return live;
}

/** What came, each once, and the newest of it. */
function joined(live: readonly Item[], arrived: readonly Item[]): readonly Item[] {
  // Places of another log say nothing about those of this one, nor do its events.
  const isSameLog = arrived[0]?.place?.epoch === live.at(-1)?.place?.epoch;
  const kept = isSameLog || arrived.length === 0 ? live : [];
  const known = new Set(kept.map(({ id }) => id));
  const fresh = arrived.filter(({ id }) => !known.has(id) && known.add(id));
  return fresh.length === 0 ? live : [...kept, ...fresh].slice(-CAPACITY);
}

/** History, and what came after its end. */
function goneOn(past: readonly Item[], end: Cursor | null, live: readonly Item[]): readonly Item[] {
  const known = new Set(past.map(({ id }) => id));
  // What the feed has without a place is from a page of history itself.
  const isLater = (place: Cursor | null) => end === null || (place !== null && !isCovered(end, place));
  return [...past, ...live.filter(({ id, place }) => !known.has(id) && isLater(place))];
}
