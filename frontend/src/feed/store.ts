import type { RecordedEvent } from "../event/event.ts";
import { advance, append, type Buffer, type Cursor, EMPTY, type Item, prepend } from "./buffer.ts";
import type { Message } from "./stream.ts";

/** How the feed stands with the server. */
export type Connection =
  | { state: "connecting" }
  | { state: "catching-up" }
  | { state: "live" }
  | { state: "reconnecting"; reason: string }
  | { state: "ended"; reason: string }
  | { state: "revoked"; reason: string };

export interface FeedState {
  connection: Connection;
  buffer: Buffer;
  /** That the list could not go on where it was, where so. */
  notice: string | null;
  /** Another number, another audience: what was shown before is not for who looks now. */
  audience: number;
}

/** Several pieces of the network become one change of the page. */
const BATCH_MS = 100;

type Listener = () => void;

/** What the page shows of the feed; outside of React, as it lives longer than any page. */
export class FeedStore {
  private state: FeedState = {
    connection: { state: "connecting" },
    buffer: EMPTY,
    notice: null,
    audience: 0,
  };
  private readonly listeners = new Set<Listener>();
  private readonly arrivals = new Set<(items: readonly Item[]) => void>();
  private waiting: Message[] = [];
  private lastTaken: Cursor | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private list = new AbortController();

  readonly get = (): FeedState => this.state;

  readonly subscribe = (listener: Listener): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** Calls with what arrives from now on, a batch at a time. */
  onArrival(take: (items: readonly Item[]) => void): () => void {
    this.arrivals.add(take);
    return () => this.arrivals.delete(take);
  }

  take(messages: readonly Message[]): void {
    for (const message of messages) {
      this.waiting.push(message);
      if (message.kind === "event") this.lastTaken = message.received.cursor;
      if (message.kind === "progress") this.lastTaken = message.cursor;
    }
    this.timer ??= setTimeout(() => this.flush(), BATCH_MS);
  }

  /** The last place that was received, also what the page does not show yet. */
  get last(): Cursor | null {
    return this.lastTaken;
  }

  /** Aborted as soon as another list begins: what was asked for this one is not for that one. */
  get listSignal(): AbortSignal {
    return this.list.signal;
  }

  connected(connection: Connection): void {
    this.set({ connection });
  }

  addOlder(events: readonly RecordedEvent[], from: Cursor): void {
    this.set({ buffer: prepend(this.state.buffer, events, from) });
  }

  /** Begins an empty list, for somebody else or with other rights: nothing of what was shown may stay. */
  restart(notice: string | null): void {
    this.beginAnew(notice);
    this.set({ audience: this.state.audience + 1 });
  }

  /** Begins an empty list, for who saw the one before, where that cannot go on. */
  beginAnew(notice: string | null): void {
    this.list.abort();
    this.list = new AbortController();
    this.waiting = [];
    this.lastTaken = null;
    this.set({ buffer: EMPTY, notice });
  }

  dismissNotice(): void {
    this.set({ notice: null });
  }

  private flush(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    const messages = this.waiting;
    if (messages.length === 0) return;
    this.waiting = [];
    const received = messages.flatMap((message) => (message.kind === "event" ? [message.received] : []));
    const before = this.state.buffer;
    const buffer = messages.reduce(
      (moved, message) => (message.kind === "progress" ? advance(moved, message.cursor) : moved),
      append(before, received),
    );
    this.set({ buffer });
    if (buffer.items === before.items) return;
    const items = received.map(({ event, cursor }) => ({ ...event, place: cursor }));
    for (const take of this.arrivals) take(items);
  }

  private set(change: Partial<FeedState>): void {
    this.state = { ...this.state, ...change };
    for (const listener of this.listeners) listener();
  }
}
