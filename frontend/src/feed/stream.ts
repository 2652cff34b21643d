import { createParser, type EventSourceMessage } from "eventsource-parser";
import { isFields, parseLine } from "../event/event.ts";
import { type Cursor, parseCursor, type Received } from "./buffer.ts";

/** What the stream says, in our words. */
export type Message =
  | { kind: "event"; received: Received }
  | { kind: "progress"; cursor: Cursor }
  | { kind: "token-expired" }
  | { kind: "revoked"; reason: string };

/** How a stream came to its end. */
export type End =
  | { kind: "closed"; retryMs: number | null }
  | { kind: "token-expired" }
  | { kind: "revoked"; reason: string };

/** Longer than the server's heartbeat lets pass twice: the connection is dead, though nobody said so. */
const SILENCE_MS = 40_000;

/** Reads a stream to its end, and hands on what came, a piece of the network at a time. */
export async function readStream(
  body: ReadableStream<BufferSource>,
  take: (messages: Message[]) => void,
): Promise<End> {
  let messages: Message[] = [];
  let retryMs: number | null = null;
  const parser = createParser({
    onEvent: (message) => messages.push(...understand(message)),
    onRetry: (milliseconds) => {
      retryMs = milliseconds;
    },
  });
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (;;) {
      const { done, value } = await orSilence(reader.read());
      if (done) return { kind: "closed", retryMs };
      parser.feed(value);
      if (messages.length === 0) continue;
      const due = messages;
      messages = [];
      take(due);
      const end = due.find((message) => message.kind === "token-expired" || message.kind === "revoked");
      if (end) return end;
    }
  } finally {
    // The rest is of no use; a stream that broke off says so once more here.
    reader.cancel().catch(() => {});
  }
}

/** What a server-sent event means; nothing where it is not meant for us. */
export function understand({ id, event, data }: EventSourceMessage): Message[] {
  if (event === "token-expired") return [{ kind: "token-expired" }];
  if (event === "revoked") return [{ kind: "revoked", reason: reasonIn(data) }];
  const cursor = id ? parseCursor(id) : null;
  if (!cursor) return [];
  if (event === "progress") return [{ kind: "progress", cursor }];
  const recorded = parseLine(data);
  // What cannot be read is passed over, so that it is not asked for for ever.
  return recorded
    ? [{ kind: "event", received: { event: recorded, cursor } }]
    : [{ kind: "progress", cursor }];
}

function reasonIn(data: string): string {
  try {
    const value: unknown = JSON.parse(data);
    if (isFields(value) && typeof value.reason === "string") return value.reason;
  } catch {
    // The end of the stream matters; its reason is a courtesy.
  }
  return "access was taken away";
}

async function orSilence<T>(read: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const silence = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("nothing came for too long")), SILENCE_MS);
  });
  try {
    return await Promise.race([read, silence]);
  } finally {
    clearTimeout(timer);
  }
}
