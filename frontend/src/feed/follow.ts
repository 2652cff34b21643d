import { asProblem, type Problem, problemOf } from "../api/problem.ts";
import { type Cursor, formatCursor } from "./buffer.ts";
import type { FeedStore } from "./store.ts";
import { type End, type Message, readStream } from "./stream.ts";

/** What following the feed needs of the world. */
export interface World {
  /** Asks for a path of the API in the name of who is signed in. */
  ask(path: string, headers: Record<string, string>, signal: AbortSignal): Promise<Response>;
  /** Where to begin without a cursor, and up to where there is something to catch up with. */
  begin(signal: AbortSignal): Promise<{ after: string; head: Cursor }>;
  /** Learns that the list cannot go on: the next beginning is not where this tab began before. */
  forgetPlace(): void;
  /** Waits; ends early when the network comes back. */
  wait(milliseconds: number, signal: AbortSignal): Promise<void>;
  /** Gets a newer token. False where the session is over. */
  renew(): Promise<boolean>;
  /** Whether somebody whose access was taken away may go on, with fewer rights. */
  mayGoOn(): Promise<boolean>;
}

const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 30_000;

/** So often a stream may end with leave to come back at once, before anything came by it. */
const MAX_AT_ONCE = 2;

/** Nobody who has more to send is silent for so long. */
const QUIET_MS = 3_000;

/** So many places in the log may be refused before all that is kept is asked for. */
const MAX_REFUSED = 2;

/** What a turn led to. */
type Turn =
  | { next: "at-once" }
  | { next: "anew" }
  | { next: "later"; reason: string; afterMs: number | null }
  | { next: "never" };

const ENDS_AT_ONCE = { reason: "The server ends each stream as soon as it began.", afterMs: null };

/** Follows the feed, through restarts and away times of the server, until the session ends. */
export async function follow(store: FeedStore, world: World, signal: AbortSignal): Promise<void> {
  let nFailures = 0;
  let nRefused = 0;
  while (!signal.aborted) {
    const before = store.last;
    const began = performance.now();
    const turn: Turn = await connectOnce(store, world, nRefused >= MAX_REFUSED, signal).catch(failed);
    if (signal.aborted || turn.next === "never") return;
    const hasMoved = store.last !== null && store.last.sequence !== before?.sequence;
    // A stream by which nothing came for long was a good one as well.
    const hasLasted = performance.now() - began > LONGEST_WAIT_MS;
    nFailures = hasMoved || hasLasted ? 0 : nFailures + 1;
    nRefused = turn.next === "anew" ? nRefused + 1 : 0;
    if (turn.next !== "later" && nFailures <= MAX_AT_ONCE) continue;
    const { reason, afterMs } = turn.next === "later" ? turn : ENDS_AT_ONCE;
    store.connected({ state: "reconnecting", reason });
    const backoff = Math.min(FIRST_WAIT_MS * 2 ** nFailures, LONGEST_WAIT_MS);
    // Not all pages come back at the same moment.
    await world.wait(afterMs ?? backoff * (0.5 + Math.random() / 2), signal);
  }
}

function failed(error: unknown): Turn {
  const { message } = asProblem(error);
  return { next: "later", reason: message, afterMs: null };
}

async function connectOnce(
  store: FeedStore,
  world: World,
  isFromEarliest: boolean,
  signal: AbortSignal,
): Promise<Turn> {
  const { after, head } = await world.begin(signal);
  const response = store.last
    ? await world.ask("/api/events/stream", { "last-event-id": formatCursor(store.last) }, signal)
    : await world.ask(`/api/events/stream?after=${isFromEarliest ? "earliest" : after}`, {}, signal);
  if (!response.ok || !response.body) return refused(store, world, await problemOf(response));
  const isBehind = () => store.last?.epoch !== head.epoch || store.last.sequence < head.sequence;
  store.connected({ state: isBehind() && head.sequence > 0 ? "catching-up" : "live" });
  const settle = () => {
    if (store.get().connection.state === "catching-up") store.connected({ state: "live" });
  };
  // What was erased at the end of the log never comes: silence is a sign as well.
  let quiet = setTimeout(settle, QUIET_MS);
  const take = (messages: Message[]) => {
    clearTimeout(quiet);
    store.take(messages);
    if (isBehind()) quiet = setTimeout(settle, QUIET_MS);
    else settle();
  };
  const end = await readStream(response.body, take).finally(() => clearTimeout(quiet));
  return await ended(store, world, end);
}

function refused(store: FeedStore, world: World, problem: Problem): Turn {
  if (problem.status === 410) {
    world.forgetPlace();
    store.beginAnew(`The list begins anew: ${problem.message.split(":")[0]}.`);
    return { next: "anew" };
  }
  if (problem.status === 401) {
    store.connected({ state: "ended", reason: problem.message });
    return { next: "never" };
  }
  if (!problem.isPassing) {
    store.connected({ state: "revoked", reason: problem.message });
    return { next: "never" };
  }
  const afterMs = problem.retryAfter === null ? null : problem.retryAfter * 1_000;
  return { next: "later", reason: problem.message, afterMs };
}

async function ended(store: FeedStore, world: World, end: End): Promise<Turn> {
  switch (end.kind) {
    case "closed":
      return { next: "later", reason: "The server closed the stream.", afterMs: end.retryMs };
    case "token-expired":
      if (await world.renew()) return { next: "at-once" };
      store.connected({ state: "ended", reason: "Your session is over." });
      return { next: "never" };
    case "revoked":
      store.connected({ state: "revoked", reason: end.reason });
      if (!(await world.mayGoOn())) return { next: "never" };
      store.restart(`Your rights have changed: ${end.reason}. From here on you see your own events.`);
      return { next: "at-once" };
    default:
      return unreachable(end);
  }
}

function unreachable(end: never): never {
  throw new Error(`an end that nobody thought of: ${JSON.stringify(end)}`);
}
