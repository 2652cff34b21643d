import type { Schemas } from "../api/client.ts";
import { parseEvent } from "../event/event.ts";
import { CAPACITY, type Cursor, formatCursor, type Item, isCovered, parseCursor } from "./buffer.ts";

/** How much is asked for at once: the most that the API gives. */
export const PAGE = 500;

/** What one request is to read: the log after a place, up to where it is known. */
export interface Stretch {
  /** Nothing for the earliest event that is kept. */
  from: Cursor | null;
  /** Nothing for wherever the request ends. */
  to: Cursor | null;
  /** The first event that is known after it. */
  first: string | null;
}

/** What was found in a stretch. */
export interface HistoryPage {
  stretch: Stretch;
  /** Oldest first. */
  items: readonly Item[];
  /** Up to where the log was read. */
  next: Cursor;
  /** Where it ended then. */
  head: Cursor;
}

/** For most users there is no more than one request gives. */
export const BEGINNING: Stretch = { from: null, to: null, first: null };

/**
 * What to ask for after these pages; nothing where all is read, or as much as is kept.
 *
 * The API reads forward only, and who has many events wants the newest: after the beginning, the log is read from its
 * end backward, in stretches of which each is about as long as one request reads.
 */
export function nextStretch(pages: readonly HistoryPage[]): Stretch | null {
  const { known, to, first, footholds, length } = walkedBack(pages);
  if (pages.length === 0) return BEGINNING;
  const foothold = footholds.at(-1)?.next.sequence;
  if (!to || foothold === undefined || nItems(known) >= CAPACITY) return null;
  return { from: { ...to, sequence: Math.max(to.sequence - length, foothold) }, to, first };
}

/** All up to the end of the log, without a hole; oldest first. */
export function itemsOf(pages: readonly HistoryPage[]): readonly Item[] {
  return walkedBack(pages)
    .known.toReversed()
    .flatMap(({ items }) => items);
}

/** Up to where these pages tell everything. */
export function endOf(pages: readonly HistoryPage[]): Cursor | null {
  const ends = walkedBack(pages).known.map(({ next }) => next);
  return ends.reduce<Cursor | null>((end, next) => (isCovered(end, next) ? end : next), null);
}

/** Whether nothing that is older than these pages is left out. */
export function hasBeginning(pages: readonly HistoryPage[]): boolean {
  return pages.length > 0 && walkedBack(pages).to === null;
}

/** How far the way back from the end of the log has come. */
interface Walk {
  /** What was found on it, newest first. */
  known: readonly HistoryPage[];
  /** Where it has come to; nothing for the beginning. */
  to: Cursor | null;
  /** The first event that was found after that place. */
  first: string | null;
  /** What was read ahead of it, as it began too far back for one request. The nearest is the last one. */
  footholds: readonly HistoryPage[];
  /** How far to go next. */
  length: number;
}

const START: Walk = { known: [], to: null, first: null, footholds: [], length: PAGE };

function walkedBack(pages: readonly HistoryPage[]): Walk {
  return pages.reduce(step, START);
}

function step(walk: Walk, page: HistoryPage): Walk {
  const to = page.stretch.to ?? page.head;
  const isWhole = isCovered(page.next, to) || isCovered(page.next, page.head);
  if (isWhole) return { ...landed(walk, page), length: walk.length * (nItems([page]) < PAGE / 4 ? 4 : 1) };
  const isBeginning = page.stretch.from === null;
  const length = isBeginning ? PAGE : Math.max(Math.floor((to.sequence - page.next.sequence) / 2), 1);
  return { ...walk, to, footholds: [...walk.footholds, page], length };
}

/** Goes back over a page, and over the footholds that it comes to. */
function landed(walk: Walk, page: HistoryPage): Walk {
  const { from } = page.stretch;
  const known = [...walk.known, page];
  const first = page.items[0]?.id ?? walk.first;
  const foothold = walk.footholds.at(-1);
  if (!foothold || !isCovered(foothold.next, from)) return { ...walk, known, to: from, first };
  return landed({ ...walk, known, first, footholds: walk.footholds.slice(0, -1) }, foothold);
}

function nItems(pages: readonly HistoryPage[]): number {
  return pages.reduce((sum, { items }) => sum + items.length, 0);
}

/** What stands for a stretch in a request. */
export function afterOf({ from }: Stretch): string {
  return from ? formatCursor(from) : "earliest";
}

/** Reads the answer. What it tells of the log beyond the stretch is left out. */
export function readPage({ events, next, as_of }: Schemas["EventPage"], stretch: Stretch): HistoryPage {
  const items = events.flatMap((value) => {
    const event = parseEvent(value);
    return event ? [{ ...event, place: null }] : [];
  });
  const end = items.findIndex(({ id }) => id === stretch.first);
  if (end < 0 || !stretch.to) return { stretch, items, next: placeOf(next), head: placeOf(as_of) };
  return { stretch, items: items.slice(0, end), next: stretch.to, head: placeOf(as_of) };
}

function placeOf(text: string): Cursor {
  const cursor = parseCursor(text);
  if (!cursor) throw new Error("the API gave a cursor that is none");
  return cursor;
}
