import type { RecordedEvent } from "../event/event.ts";

/** The most events that a list keeps in memory. Older events can be fetched from the log again. */
export const CAPACITY = 10_000;

/** An event of the feed with its position in the log. */
export interface Received {
  event: RecordedEvent;
  cursor: Cursor;
}

/** A position in the log: after the event with that sequence. An epoch identifies one log. */
export interface Cursor {
  epoch: string;
  sequence: number;
}

/** A listed event. Events of a history page have no cursor. */
export type Item = RecordedEvent & { cursor: Cursor | null };

/** A contiguous range of the log, oldest event first. */
export interface Buffer {
  items: readonly Item[];
  /** The position before the first item, with no event between. */
  from: Cursor | null;
  /** The position of the last received event, including events that a filter left out. */
  last: Cursor | null;
}

export const EMPTY: Buffer = { items: [], from: null, last: null };

export function parseCursor(text: string): Cursor | null {
  const dash = text.lastIndexOf("-");
  const sequence = Number(text.slice(dash + 1));
  return dash > 0 && Number.isSafeInteger(sequence) ? { epoch: text.slice(0, dash), sequence } : null;
}

/** Parses a cursor of an API response. */
export function apiCursor(text: string): Cursor {
  const cursor = parseCursor(text);
  if (!cursor) throw new Error(`the API sent an invalid cursor (${text}); check the API's version`);
  return cursor;
}

export function formatCursor({ epoch, sequence }: Cursor): string {
  return `${epoch}-${sequence}`;
}

/** Adds received events, without those that were received before. */
export function append(buffer: Buffer, received: readonly Received[]): Buffer {
  let last = buffer.last;
  const added: Item[] = [];
  for (const { event, cursor } of received) {
    if (hasReached(last, cursor)) continue;
    last = cursor;
    added.push({ ...event, cursor });
  }
  if (added.length === 0) return buffer;
  const items = [...buffer.items, ...added];
  if (items.length <= CAPACITY) return { items, from: buffer.from ?? cursorBefore(items), last };
  const kept = items.slice(-CAPACITY);
  return { items: kept, from: cursorBefore(kept) ?? buffer.from, last };
}

/** Moves `last` past events that the server filtered out. */
export function advance(buffer: Buffer, cursor: Cursor): Buffer {
  return hasReached(buffer.last, cursor) ? buffer : { ...buffer, last: cursor };
}

/** Adds older events at the front. `from` is the position before them. */
export function prepend(buffer: Buffer, older: readonly RecordedEvent[], from: Cursor): Buffer {
  const ids = new Set(buffer.items.map((item) => item.id));
  const added = older.filter((event) => !ids.has(event.id)).map((event) => ({ ...event, cursor: null }));
  return { ...buffer, items: [...added, ...buffer.items], from };
}

/** Whether a reader at `position` has read everything up to `cursor`. */
export function hasReached(position: Cursor | null, cursor: Cursor | null): boolean {
  if (position === null || cursor === null) return false;
  return position.epoch === cursor.epoch && cursor.sequence <= position.sequence;
}

function cursorBefore([first]: readonly Item[]): Cursor | null {
  return first?.cursor ? { ...first.cursor, sequence: first.cursor.sequence - 1 } : null;
}
