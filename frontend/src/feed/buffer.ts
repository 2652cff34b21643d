import type { RecordedEvent } from "../event/event.ts";

/** How many events are kept; older ones are in the log, and can be fetched again. */
export const CAPACITY = 10_000;

/** An event with its place in the log. */
export interface Received {
  event: RecordedEvent;
  cursor: Cursor;
}

/** A place in the log: after the event of that sequence. */
export interface Cursor {
  epoch: string;
  sequence: number;
}

/** An event as it is kept. Those of a page of history do not tell their place. */
export type Item = RecordedEvent & { place: Cursor | null };

/** A stretch of the log without a hole, oldest first. */
export interface Buffer {
  items: readonly Item[];
  /** A place before the first of them, with nothing between. */
  from: Cursor | null;
  /** The place of the last that was received, shown or passed over. */
  last: Cursor | null;
}

export const EMPTY: Buffer = { items: [], from: null, last: null };

export function parseCursor(text: string): Cursor | null {
  const dash = text.lastIndexOf("-");
  const sequence = Number(text.slice(dash + 1));
  return dash > 0 && Number.isSafeInteger(sequence) ? { epoch: text.slice(0, dash), sequence } : null;
}

export function formatCursor({ epoch, sequence }: Cursor): string {
  return `${epoch}-${sequence}`;
}

/** Takes in what came. An event that was received before is left out. */
export function append(buffer: Buffer, received: readonly Received[]): Buffer {
  let last = buffer.last;
  const fresh: Item[] = [];
  for (const { event, cursor } of received) {
    if (isCovered(last, cursor)) continue;
    last = cursor;
    fresh.push({ ...event, place: cursor });
  }
  if (fresh.length === 0) return buffer;
  const items = [...buffer.items, ...fresh];
  if (items.length <= CAPACITY) return { items, from: buffer.from ?? before(items), last };
  const kept = items.slice(-CAPACITY);
  return { items: kept, from: before(kept) ?? buffer.from, last };
}

/** Moves on past events that were filtered. */
export function advance(buffer: Buffer, cursor: Cursor): Buffer {
  return isCovered(buffer.last, cursor) ? buffer : { ...buffer, last: cursor };
}

/** Puts a page of older events before the others. */
export function prepend(buffer: Buffer, older: readonly RecordedEvent[], from: Cursor): Buffer {
  const known = new Set(buffer.items.map((item) => item.id));
  const fresh = older.filter((event) => !known.has(event.id)).map((event) => ({ ...event, place: null }));
  return { ...buffer, items: [...fresh, ...buffer.items], from };
}

/** Whether who read up to the first place has read what is before the second one. */
export function isCovered(last: Cursor | null, cursor: Cursor | null): boolean {
  return last !== null && cursor !== null && last.epoch === cursor.epoch && cursor.sequence <= last.sequence;
}

function before(items: readonly Item[]): Cursor | null {
  const first = items[0]?.place;
  return first ? { ...first, sequence: first.sequence - 1 } : null;
}
