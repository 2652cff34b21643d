import { describe, expect, it } from "vitest";
import { sample } from "../event/samples.ts";
import { type Message, readStream, type StreamEnd } from "./stream.ts";

const { raw } = sample("user-registered");

/** A stream that delivers the text in small chunks, which split lines and characters. */
function stream(text: string, chunk = 7): ReadableStream<BufferSource> {
  const bytes = new TextEncoder().encode(text);
  return new ReadableStream({
    start(controller) {
      for (let at = 0; at < bytes.length; at += chunk) controller.enqueue(bytes.slice(at, at + chunk));
      controller.close();
    },
  });
}

async function read(text: string): Promise<{ messages: Message[]; end: StreamEnd }> {
  const messages: Message[] = [];
  const end = await readStream(stream(text), (due) => messages.push(...due));
  return { messages, end };
}

describe("readStream", () => {
  it("reads events with their cursors from any chunks", async () => {
    const { messages, end } = await read(`: hello\n\nid: e-3\nevent: user-registered\ndata: ${raw}\n\n`);
    expect(messages).toEqual([
      {
        kind: "event",
        received: { event: sample("user-registered"), cursor: { epoch: "e", sequence: 3 } },
      },
    ]);
    expect(end).toEqual({ kind: "closed", retryMs: null });
  });

  it("reports filtered and unreadable events as progress", async () => {
    const { messages } = await read(
      "id: e-3\nevent: progress\ndata: {}\n\nid: e-4\nevent: x\ndata: <html>\n\n",
    );
    expect(messages).toEqual([
      { kind: "progress", cursor: { epoch: "e", sequence: 3 } },
      { kind: "progress", cursor: { epoch: "e", sequence: 4 } },
    ]);
  });

  it("ends at a final message, with its reason", async () => {
    const after = "id: e-9\nevent: progress\ndata: {}\n\n";
    const revoked = await read(`event: revoked\ndata: {"reason":"the user is deactivated"}\n\n${after}`);
    expect(revoked.end).toEqual({ kind: "revoked", reason: "the user is deactivated" });
    const expired = await read(`event: token-expired\ndata: {}\n\n${after}`);
    expect(expired.end).toEqual({ kind: "token-expired" });
    const withoutReason = await read("event: revoked\ndata: nonsense\n\n");
    expect(withoutReason.end).toEqual({ kind: "revoked", reason: "access was revoked" });
  });

  it("returns the server's retry delay", async () => {
    expect((await read("retry: 2000\n\n")).end).toEqual({ kind: "closed", retryMs: 2000 });
  });
});
