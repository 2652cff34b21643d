import type { Schemas } from "../api/client.ts";
import { parseEvent } from "../event/event.ts";
import { apiCursor, CAPACITY, type Cursor, formatCursor, hasReached, type Item } from "./buffer.ts";

/** How many events to request at once: the API's maximum. */
export const PAGE = 500;

/** The part of the log that one request reads: after `from`, up to what is already known. */
export interface LogRange {
  /** Null for the earliest event in the log. */
  from: Cursor | null;
  /** Null to read as far as one page reaches. */
  to: Cursor | null;
  /** Id of the first known event after `to`. */
  firstKnownId: string | null;
}

/** The events found in a range. */
export interface HistoryPage {
  range: LogRange;
  /** Oldest first. */
  items: readonly Item[];
  /** The position up to which the log was read. */
  next: Cursor;
  /** The end of the log at the time of the request. */
  head: Cursor;
}

/** The first request. It is enough for most users, who have less than a page of events. */
export const FROM_EARLIEST: LogRange = { from: null, to: null, firstKnownId: null };

/**
 * The range to request after these pages; null when all events are read, or as many as a list keeps.
 *
 * The API reads forward only, but a long history is shown from its newest event. So after the first page, the log is read
 * backward from its end, in ranges of about one page each.
 */
export function nextRange(pages: readonly HistoryPage[]): LogRange | null {
  const { joined, to, firstKnownId, detached, length } = readBackward(pages);
  if (pages.length === 0) return FROM_EARLIEST;
  const nearest = detached.at(-1)?.next.sequence;
  if (!to || nearest === undefined || nItems(joined) >= CAPACITY) return null;
  return { from: { ...to, sequence: Math.max(to.sequence - length, nearest) }, to, firstKnownId };
}

/** The events that reach up to the end of the log without a gap, oldest first. */
export function itemsOf(pages: readonly HistoryPage[]): readonly Item[] {
  return readBackward(pages)
    .joined.toReversed()
    .flatMap(({ items }) => items);
}

/** The position up to which these pages contain every event. */
export function endOf(pages: readonly HistoryPage[]): Cursor | null {
  const ends = readBackward(pages).joined.map(({ next }) => next);
  return ends.reduce<Cursor | null>((end, next) => (hasReached(end, next) ? end : next), null);
}

/** Whether these pages reach back to the earliest event. */
export function hasBeginning(pages: readonly HistoryPage[]): boolean {
  return pages.length > 0 && readBackward(pages).to === null;
}

/** How far the log was read backward from its end. */
interface Progress {
  /** Pages without a gap up to the end of the log, newest first. */
  joined: readonly HistoryPage[];
  /** The position before them; null for the beginning. */
  to: Cursor | null;
  /** Id of the first event after that position. */
  firstKnownId: string | null;
  /** Older pages with a gap after them, because their range held more than one page. The newest is last. */
  detached: readonly HistoryPage[];
  /** How long the next range is. */
  length: number;
}

const START: Progress = { joined: [], to: null, firstKnownId: null, detached: [], length: PAGE };

function readBackward(pages: readonly HistoryPage[]): Progress {
  return pages.reduce(addPage, START);
}

function addPage(progress: Progress, page: HistoryPage): Progress {
  const to = page.range.to ?? page.head;
  const isWhole = hasReached(page.next, to) || hasReached(page.next, page.head);
  if (isWhole) {
    const growth = nItems([page]) < PAGE / 4 ? 4 : 1;
    return { ...join(progress, page), length: progress.length * growth };
  }
  const isFirst = page.range.from === null;
  const length = isFirst ? PAGE : Math.max(Math.floor((to.sequence - page.next.sequence) / 2), 1);
  return { ...progress, to, detached: [...progress.detached, page], length };
}

/** Joins a page, and then each detached page that it closes the gap to. */
function join(progress: Progress, page: HistoryPage): Progress {
  const { from } = page.range;
  const joined = [...progress.joined, page];
  const firstKnownId = page.items[0]?.id ?? progress.firstKnownId;
  const nearest = progress.detached.at(-1);
  if (!nearest || !hasReached(nearest.next, from)) return { ...progress, joined, to: from, firstKnownId };
  return join({ ...progress, joined, firstKnownId, detached: progress.detached.slice(0, -1) }, nearest);
}

function nItems(pages: readonly HistoryPage[]): number {
  return pages.reduce((sum, { items }) => sum + items.length, 0);
}

/** The `after` parameter that requests a range. */
export function afterOf({ from }: LogRange): string {
  return from ? formatCursor(from) : "earliest";
}

/** Converts the API's page, without the events beyond the range. */
export function readPage({ events, next, as_of }: Schemas["EventPage"], range: LogRange): HistoryPage {
  const items = events.flatMap((value) => {
    const event = parseEvent(value);
    return event ? [{ ...event, cursor: null }] : [];
  });
  const end = items.findIndex(({ id }) => id === range.firstKnownId);
  if (end < 0 || !range.to) return { range, items, next: apiCursor(next), head: apiCursor(as_of) };
  return { range, items: items.slice(0, end), next: range.to, head: apiCursor(as_of) };
}
