import type { RecordedEvent } from "../event/event.ts";
import { advance, append, type Buffer, type Cursor, EMPTY, type Item, prepend } from "./buffer.ts";
import type { Message } from "./stream.ts";

/** The state of the connection to the feed. */
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
  /** Why the list was restarted, for the user. */
  notice: string | null;
  /** Changes with the user or their permissions. Events of an earlier version must not be shown any more. */
  viewerVersion: number;
}

/** Messages that arrive within this time cause one render. */
const BATCH_MS = 100;

type Listener = () => void;

/** The state of the feed, kept outside of React because it outlives every page. */
export class FeedStore {
  private state: FeedState = {
    connection: { state: "connecting" },
    buffer: EMPTY,
    notice: null,
    viewerVersion: 0,
  };
  private readonly listeners = new Set<Listener>();
  private readonly arrivalListeners = new Set<(items: readonly Item[]) => void>();
  private pending: Message[] = [];
  private lastReceived: Cursor | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private list = new AbortController();

  readonly get = (): FeedState => this.state;

  readonly subscribe = (listener: Listener): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** Calls `listener` with each batch of new events. */
  onArrival(listener: (items: readonly Item[]) => void): () => void {
    this.arrivalListeners.add(listener);
    return () => this.arrivalListeners.delete(listener);
  }

  receive(messages: readonly Message[]): void {
    for (const message of messages) {
      this.pending.push(message);
      if (message.kind === "event") this.lastReceived = message.received.cursor;
      if (message.kind === "progress") this.lastReceived = message.cursor;
    }
    this.timer ??= setTimeout(() => this.flush(), BATCH_MS);
  }

  /** The position of the last received message, including messages that are not shown yet. */
  get lastCursor(): Cursor | null {
    return this.lastReceived;
  }

  /** Aborted when the list restarts, so that requests for the old list cannot change the new one. */
  get listSignal(): AbortSignal {
    return this.list.signal;
  }

  setConnection(connection: Connection): void {
    this.set({ connection });
  }

  addOlder(events: readonly RecordedEvent[], from: Cursor): void {
    this.set({ buffer: prepend(this.state.buffer, events, from) });
  }

  /** Starts an empty list for another user or other permissions. No event shown before may stay visible. */
  restartForViewer(notice: string | null): void {
    this.restartList(notice);
    this.set({ viewerVersion: this.state.viewerVersion + 1 });
  }

  /** Starts an empty list for the same user, when the old list cannot continue. */
  restartList(notice: string | null): void {
    this.list.abort();
    this.list = new AbortController();
    this.pending = [];
    this.lastReceived = null;
    this.set({ buffer: EMPTY, notice });
  }

  dismissNotice(): void {
    this.set({ notice: null });
  }

  private flush(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    const messages = this.pending;
    if (messages.length === 0) return;
    this.pending = [];
    const received = messages.flatMap((message) => (message.kind === "event" ? [message.received] : []));
    const before = this.state.buffer;
    const buffer = messages.reduce(
      (moved, message) => (message.kind === "progress" ? advance(moved, message.cursor) : moved),
      append(before, received),
    );
    this.set({ buffer });
    if (buffer.items === before.items) return;
    const items = received.map(({ event, cursor }) => ({ ...event, cursor }));
    for (const listener of this.arrivalListeners) listener(items);
  }

  private set(change: Partial<FeedState>): void {
    this.state = { ...this.state, ...change };
    for (const listener of this.listeners) listener();
  }
}
