import { useEffect, useMemo, useSyncExternalStore } from "react";
import { useApp } from "../app/context.tsx";
import { CAPACITY, type Item } from "./buffer.ts";
import { about } from "./filter.ts";

/** Pages of history, as a query gives them. */
interface History {
  data: { pages: { items: Item[] }[] } | undefined;
  hasNextPage: boolean;
  isFetching: boolean;
  isError: boolean;
  fetchNextPage: () => unknown;
}

export interface Timeline {
  /** Oldest first. */
  items: readonly Item[];
  /** True as long as more history comes. */
  isLoading: boolean;
  /** True where there is more history than is shown. */
  isCut: boolean;
}

/** Everything about one subject: its history, page by page, and then what comes by the feed. */
export function useTimeline(history: History, subject: { user: number } | { group: string }): Timeline {
  const { feed } = useApp();
  const live = useSyncExternalStore(feed.subscribe, () => feed.get().buffer.items);
  const { data, hasNextPage, isFetching, isError, fetchNextPage } = history;
  const key = "user" in subject ? subject.user : subject.group;
  const nLoaded = data?.pages.reduce((sum, page) => sum + page.items.length, 0) ?? 0;
  const isCut = hasNextPage && nLoaded >= CAPACITY;
  useEffect(() => {
    if (hasNextPage && !isFetching && !isError && !isCut) fetchNextPage();
  }, [hasNextPage, isFetching, isError, isCut, fetchNextPage]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the key stands for the subject, which is made anew at each turn
  const items = useMemo(() => {
    const past = about(data?.pages.flatMap((page) => page.items) ?? [], subject);
    const known = new Set(past.map((item) => item.id));
    return [...past, ...about(live, subject).filter((item) => !known.has(item.id))];
  }, [data, live, key]);
  return { items, isLoading: isFetching && nLoaded === 0, isCut };
}
