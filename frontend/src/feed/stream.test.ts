import { describe, expect, it } from "vitest";
import { sample } from "../event/samples.ts";
import { type End, type Message, readStream } from "./stream.ts";

const { raw } = sample("user-registered");

/** A stream that comes in pieces as the network makes them, wherever they end. */
function stream(text: string, piece = 7): ReadableStream<BufferSource> {
  const bytes = new TextEncoder().encode(text);
  return new ReadableStream({
    start(controller) {
      for (let at = 0; at < bytes.length; at += piece) controller.enqueue(bytes.slice(at, at + piece));
      controller.close();
    },
  });
}

async function read(text: string): Promise<{ messages: Message[]; end: End }> {
  const messages: Message[] = [];
  const end = await readStream(stream(text), (due) => messages.push(...due));
  return { messages, end };
}

describe("readStream", () => {
  it("reads events with their places, whatever pieces they come in", async () => {
    const { messages, end } = await read(`: hello\n\nid: e-3\nevent: user-registered\ndata: ${raw}\n\n`);
    expect(messages).toEqual([
      {
        kind: "event",
        received: { event: sample("user-registered"), cursor: { epoch: "e", sequence: 3 } },
      },
    ]);
    expect(end).toEqual({ kind: "closed", retryMs: null });
  });

  it("moves on past what was filtered, and past what it cannot read", async () => {
    const { messages } = await read(
      "id: e-3\nevent: progress\ndata: {}\n\nid: e-4\nevent: x\ndata: <html>\n\n",
    );
    expect(messages).toEqual([
      { kind: "progress", cursor: { epoch: "e", sequence: 3 } },
      { kind: "progress", cursor: { epoch: "e", sequence: 4 } },
    ]);
  });

  it("ends where the server says so, and says why", async () => {
    const after = "id: e-9\nevent: progress\ndata: {}\n\n";
    const revoked = await read(`event: revoked\ndata: {"reason":"the user is deactivated"}\n\n${after}`);
    expect(revoked.end).toEqual({ kind: "revoked", reason: "the user is deactivated" });
    const expired = await read(`event: token-expired\ndata: {}\n\n${after}`);
    expect(expired.end).toEqual({ kind: "token-expired" });
    const wordless = await read("event: revoked\ndata: nonsense\n\n");
    expect(wordless.end).toEqual({ kind: "revoked", reason: "access was taken away" });
  });

  it("hands on when to come back", async () => {
    expect((await read("retry: 2000\n\n")).end).toEqual({ kind: "closed", retryMs: 2000 });
  });
});
