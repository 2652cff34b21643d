import { createParser, type EventSourceMessage } from "eventsource-parser";
import { isFields, parseLine } from "../event/event.ts";
import { type Cursor, parseCursor, type Received } from "./buffer.ts";

/** A message of the event stream. */
export type Message =
  | { kind: "event"; received: Received }
  | { kind: "progress"; cursor: Cursor }
  | { kind: "token-expired" }
  | { kind: "revoked"; reason: string };

/** Why a stream ended. */
export type StreamEnd =
  | { kind: "closed"; retryMs: number | null }
  | { kind: "token-expired" }
  | { kind: "revoked"; reason: string };

/** More than two heartbeat intervals of the server. A connection that is silent for this long is dead. */
const SILENCE_MS = 40_000;

/** Reads a stream to its end. Calls `receive` with the messages of each network chunk. */
export async function readStream(
  body: ReadableStream<BufferSource>,
  receive: (messages: Message[]) => void,
): Promise<StreamEnd> {
  let messages: Message[] = [];
  let retryMs: number | null = null;
  const parser = createParser({
    onEvent: (message) => messages.push(...parseMessage(message)),
    onRetry: (milliseconds) => {
      retryMs = milliseconds;
    },
  });
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (;;) {
      const { done, value } = await withSilenceTimeout(reader.read());
      if (done) return { kind: "closed", retryMs };
      parser.feed(value);
      if (messages.length === 0) continue;
      const due = messages;
      messages = [];
      receive(due);
      const end = due.find((message) => message.kind === "token-expired" || message.kind === "revoked");
      if (end) return end;
    }
  } finally {
    // The rest of the stream is not needed. Cancelling a broken stream repeats its error, which was thrown already.
    reader.cancel().catch(() => {});
  }
}

/** Converts a server-sent event; returns nothing for an unknown event without a cursor. */
function parseMessage({ id, event, data }: EventSourceMessage): Message[] {
  if (event === "token-expired") return [{ kind: "token-expired" }];
  if (event === "revoked") return [{ kind: "revoked", reason: reasonIn(data) }];
  const cursor = id ? parseCursor(id) : null;
  if (!cursor) return [];
  if (event === "progress") return [{ kind: "progress", cursor }];
  const recorded = parseLine(data);
  // An unreadable event counts as progress, so that a reconnect does not request it again and again.
  return recorded
    ? [{ kind: "event", received: { event: recorded, cursor } }]
    : [{ kind: "progress", cursor }];
}

function reasonIn(data: string): string {
  try {
    const value: unknown = JSON.parse(data);
    if (isFields(value) && typeof value.reason === "string") return value.reason;
  } catch {
    // The stream ends in any case; the reason is optional.
  }
  return "access was revoked";
}

/** Fails when a read takes longer than `SILENCE_MS`. */
async function withSilenceTimeout<T>(read: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const silence = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`The server sent nothing for ${SILENCE_MS / 1_000} s.`)),
      SILENCE_MS,
    );
  });
  try {
    return await Promise.race([read, silence]);
  } finally {
    clearTimeout(timer);
  }
}
