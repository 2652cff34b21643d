import { useCallback, useMemo, useState } from "react";
import type { Item } from "./buffer.ts";
import { type FeedFilter, matching } from "./filter.ts";

interface Frozen {
  /** Id of the newest event at that time, whether or not it matches the filter. */
  newestId: string | null;
}

/** The visible part of a growing list. */
export interface FreezableList {
  items: readonly Item[];
  /** How many matching events arrived since the list was frozen. */
  nNew: number;
  freeze: () => void;
  unfreeze: () => void;
}

const ANY: FeedFilter = { types: [], user: null };

/**
 * A list that can be frozen, so that its rows do not move while somebody reads.
 *
 * The unfiltered list is frozen: another filter shows other events from before the freeze, and none from after it.
 */
export function useFreezableList(items: readonly Item[], filter = ANY): FreezableList {
  const [frozen, setFrozen] = useState<Frozen | null>(null);
  const all = useMemo(() => matching(items, filter), [items, filter]);
  const visible = useMemo(
    () => (frozen ? matching(upTo(items, frozen.newestId), filter) : all),
    [items, frozen, filter, all],
  );
  const newestId = items.at(-1)?.id ?? null;
  const freeze = useCallback(() => setFrozen((before) => before ?? { newestId }), [newestId]);
  const unfreeze = useCallback(() => setFrozen(null), []);
  return { items: visible, nNew: all.length - visible.length, freeze, unfreeze };
}

/** The items up to the one with that id; all items if it was dropped already. */
export function upTo(items: readonly Item[], id: string | null): readonly Item[] {
  if (id === null) return [];
  const index = items.findLastIndex((item) => item.id === id);
  return index < 0 ? items : items.slice(0, index + 1);
}
