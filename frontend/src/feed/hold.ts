import { useCallback, useMemo, useState } from "react";
import type { Item } from "./buffer.ts";
import { type FeedFilter, matching } from "./filter.ts";

interface Held {
  /** The newest event that was there, shown or filtered. */
  until: string | null;
}

/** What is shown of a list that grows, and how much waits. */
export interface Shown {
  items: readonly Item[];
  nNew: number;
  isHeld: boolean;
  hold: () => void;
  release: () => void;
}

const ANY: FeedFilter = { types: [], user: null };

/**
 * A list that can be held, so that nothing moves under the eyes of who reads further down.
 *
 * It is held before it is filtered: another filter shows another part of what was there, and nothing that came since.
 */
export function useHold(items: readonly Item[], filter = ANY): Shown {
  const [held, setHeld] = useState<Held | null>(null);
  const all = useMemo(() => matching(items, filter), [items, filter]);
  const shown = useMemo(
    () => (held ? matching(upTo(items, held.until), filter) : all),
    [items, held, filter, all],
  );
  const newest = items.at(-1)?.id ?? null;
  const hold = useCallback(() => setHeld((before) => before ?? { until: newest }), [newest]);
  const release = useCallback(() => setHeld(null), []);
  return { items: shown, nNew: all.length - shown.length, isHeld: held !== null, hold, release };
}

/** The items up to that one; all where it made room for newer ones already. */
export function upTo(items: readonly Item[], id: string | null): readonly Item[] {
  if (id === null) return [];
  const index = items.findLastIndex((item) => item.id === id);
  return index < 0 ? items : items.slice(0, index + 1);
}
