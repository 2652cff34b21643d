import { asProblem, type Problem, problemOf } from "../api/problem.ts";
import { unreachable } from "../unreachable.ts";
import { type Cursor, formatCursor } from "./buffer.ts";
import type { FeedStore } from "./store.ts";
import { type Message, readStream, type StreamEnd } from "./stream.ts";

/** What following the feed needs from its surroundings: requests, the session, a timer. */
export interface FeedEnvironment {
  /** Requests a path of the API as the signed-in user. */
  request(path: string, headers: Record<string, string>, signal: AbortSignal): Promise<Response>;
  /** Where a new list starts, and the end of the log that it has to catch up with. */
  findStart(signal: AbortSignal): Promise<{ after: string; head: Cursor }>;
  /** Makes the next `findStart` ignore where this tab's list started before. */
  forgetStart(): void;
  /** Waits; returns early when the network comes back. */
  wait(milliseconds: number, signal: AbortSignal): Promise<void>;
  /** Gets a newer token. Returns false if the session has ended. */
  renewSession(): Promise<boolean>;
  /** Whether a user whose access was revoked may continue with fewer permissions. */
  keepsAccess(): Promise<boolean>;
}

const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 30_000;

/** How many streams in a row may end without an event and be reopened without a wait. */
const MAX_IMMEDIATE = 2;

/** Catching up is complete after this time without a message. */
const QUIET_MS = 3_000;

/** How many starts in a row the API may refuse before the whole log is requested. */
const MAX_REFUSED = 2;

/** What to do after a connection. */
type NextStep =
  | { kind: "reconnect" }
  | { kind: "restart-list" }
  | { kind: "wait"; reason: string; afterMs: number | null }
  | { kind: "stop" };

const CLOSED_AT_ONCE = { reason: "The server closes each stream immediately.", afterMs: null };

/** Follows the feed over restarts and outages of the server, until the session ends. */
export async function follow(
  store: FeedStore,
  environment: FeedEnvironment,
  signal: AbortSignal,
): Promise<void> {
  let nFailures = 0;
  let nRefused = 0;
  while (!signal.aborted) {
    const before = store.lastCursor;
    const began = performance.now();
    const fromEarliest = nRefused >= MAX_REFUSED;
    const step: NextStep = await connect(store, environment, fromEarliest, signal).catch(afterFailure);
    if (signal.aborted || step.kind === "stop") return;
    const hasMoved = store.lastCursor !== null && store.lastCursor.sequence !== before?.sequence;
    // A long stream without events was a working one too.
    const hasLasted = performance.now() - began > LONGEST_WAIT_MS;
    nFailures = hasMoved || hasLasted ? 0 : nFailures + 1;
    nRefused = step.kind === "restart-list" ? nRefused + 1 : 0;
    if (step.kind !== "wait" && nFailures <= MAX_IMMEDIATE) continue;
    const { reason, afterMs } = step.kind === "wait" ? step : CLOSED_AT_ONCE;
    store.setConnection({ state: "reconnecting", reason });
    const backoff = Math.min(FIRST_WAIT_MS * 2 ** nFailures, LONGEST_WAIT_MS);
    // Jitter keeps pages from reconnecting at the same moment.
    await environment.wait(afterMs ?? backoff * (0.5 + Math.random() / 2), signal);
  }
}

function afterFailure(error: unknown): NextStep {
  return { kind: "wait", reason: asProblem(error).message, afterMs: null };
}

async function connect(
  store: FeedStore,
  environment: FeedEnvironment,
  fromEarliest: boolean,
  signal: AbortSignal,
): Promise<NextStep> {
  const { after, head } = await environment.findStart(signal);
  const query = store.lastCursor ? "" : `?after=${fromEarliest ? "earliest" : after}`;
  const headers = store.lastCursor ? { "last-event-id": formatCursor(store.lastCursor) } : undefined;
  const response = await environment.request(`/api/events/stream${query}`, headers ?? {}, signal);
  if (!response.ok || !response.body) return afterRefusal(store, environment, await problemOf(response));
  const isBehind = () => store.lastCursor?.epoch !== head.epoch || store.lastCursor.sequence < head.sequence;
  store.setConnection({ state: isBehind() && head.sequence > 0 ? "catching-up" : "live" });
  const completeCatchUp = () => {
    if (store.get().connection.state === "catching-up") store.setConnection({ state: "live" });
  };
  // Events that were erased at the end of the log never arrive, so silence completes catching up as well.
  let quietTimer = setTimeout(completeCatchUp, QUIET_MS);
  const receive = (messages: Message[]) => {
    clearTimeout(quietTimer);
    store.receive(messages);
    if (isBehind()) quietTimer = setTimeout(completeCatchUp, QUIET_MS);
    else completeCatchUp();
  };
  const end = await readStream(response.body, receive).finally(() => clearTimeout(quietTimer));
  return await afterStreamEnd(store, environment, end);
}

function afterRefusal(store: FeedStore, environment: FeedEnvironment, problem: Problem): NextStep {
  if (problem.status === 410) {
    environment.forgetStart();
    store.restartList(`The list was restarted: ${problem.message.split(":")[0]}.`);
    return { kind: "restart-list" };
  }
  if (problem.status === 401) {
    store.setConnection({ state: "ended", reason: problem.message });
    return { kind: "stop" };
  }
  if (!problem.isTransient) {
    store.setConnection({ state: "revoked", reason: problem.message });
    return { kind: "stop" };
  }
  const afterMs = problem.retryAfter === null ? null : problem.retryAfter * 1_000;
  return { kind: "wait", reason: problem.message, afterMs };
}

async function afterStreamEnd(
  store: FeedStore,
  environment: FeedEnvironment,
  end: StreamEnd,
): Promise<NextStep> {
  switch (end.kind) {
    case "closed":
      return { kind: "wait", reason: "The server closed the stream.", afterMs: end.retryMs };
    case "token-expired":
      if (await environment.renewSession()) return { kind: "reconnect" };
      store.setConnection({ state: "ended", reason: "Your session has ended. Sign in again." });
      return { kind: "stop" };
    case "revoked":
      store.setConnection({ state: "revoked", reason: end.reason });
      if (!(await environment.keepsAccess())) return { kind: "stop" };
      store.restartForViewer(
        `Your permissions have changed: ${end.reason}. You now see only your own events.`,
      );
      return { kind: "reconnect" };
    default:
      return unreachable(end);
  }
}
