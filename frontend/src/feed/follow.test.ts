import { describe, expect, it, vi } from "vitest";
import { sample } from "../event/samples.ts";
import { fakeTimers } from "../test/fake-timers.ts";
import { type FeedEnvironment, follow } from "./follow.ts";
import { FeedStore } from "./store.ts";

const { raw } = sample("user-registered");

function events(...sequences: number[]): string {
  const lines = sequences.map((n) => `id: e-${n}\nevent: user-registered\ndata: ${raw}\n\n`);
  return lines.join("");
}

function problem(status: number, detail: string): Response {
  return Response.json({ title: "Refused", status, detail }, { status });
}

const tokenExpired = () => new Response("event: token-expired\ndata: {}\n\n");

/** A server that sends the given responses one after another. After the last one, the page is closed. */
class FakeServer implements FeedEnvironment {
  readonly requests: { path: string; lastEventId: string | undefined }[] = [];
  readonly waits: number[] = [];
  isSessionOver = false;
  hasAccess = true;
  private rememberedStart: string | null = "e-0";
  private readonly closed = new AbortController();
  private readonly responses: Response[];

  constructor(...responses: Response[]) {
    this.responses = responses;
  }

  async request(path: string, headers: Record<string, string>): Promise<Response> {
    this.requests.push({ path, lastEventId: headers["last-event-id"] });
    const response = this.responses.shift();
    if (response) return response;
    this.closed.abort();
    throw new Error("the page is closed");
  }

  async findStart() {
    return { after: this.rememberedStart ?? "e-1000", head: { epoch: "e", sequence: 2_000 } };
  }

  forgetStart(): void {
    this.rememberedStart = null;
  }

  async wait(milliseconds: number): Promise<void> {
    this.waits.push(milliseconds);
  }

  async renewSession(): Promise<boolean> {
    return !this.isSessionOver;
  }

  async keepsAccess(): Promise<boolean> {
    return this.hasAccess;
  }

  /** Follows the feed until the page is closed or the session ends. */
  async follow() {
    const store = new FeedStore();
    await follow(store, this, this.closed.signal);
    await vi.runAllTimersAsync();
    return { ...store.get(), sequences: store.get().buffer.items.map(({ cursor }) => cursor?.sequence) };
  }
}

describe("follow", () => {
  fakeTimers();

  it("continues after the last event when the server comes back", async () => {
    const server = new FakeServer(
      new Response(events(1, 2)),
      problem(503, "starting"),
      new Response(events(2, 3)),
    );
    const { sequences } = await server.follow();
    expect(server.requests.map(({ lastEventId }) => lastEventId)).toEqual([undefined, "e-2", "e-2", "e-3"]);
    expect(sequences).toEqual([1, 2, 3]);
    expect(server.waits.length).toBeGreaterThanOrEqual(2);
  });

  it("waits as long as the server asks before it reconnects", async () => {
    const server = new FakeServer(new Response(`retry: 4321\n\n${events(1)}`));
    await server.follow();
    expect(server.waits[0]).toBe(4321);
  });

  const gone = () =>
    problem(
      410,
      "the cursor belongs to another stream of events: read the state again, and continue from its as_of",
    );

  it("restarts the list near the end of a new log, with a notice", async () => {
    const server = new FakeServer(new Response(events(1)), gone(), new Response(events(1_005)));
    const { notice, sequences, viewerVersion } = await server.follow();
    expect(server.requests[2]?.path).toContain("after=e-1000");
    expect(notice).toBe("The list was restarted: the cursor belongs to another stream of events.");
    expect(sequences).toEqual([1_005]);
    expect(viewerVersion).toBe(0);
  });

  it("requests the whole log only when a start near its end is refused too", async () => {
    const server = new FakeServer(gone(), gone(), new Response(events(1_900)));
    await server.follow();
    const starts = server.requests.map(({ path }) => path.split("after=")[1]);
    expect(starts.slice(0, 3)).toEqual(["e-0", "e-1000", "earliest"]);
  });

  it("renews the session without a wait when its token expires", async () => {
    const server = new FakeServer(tokenExpired(), new Response(events(1)));
    const { sequences } = await server.follow();
    expect(sequences).toHaveLength(1);
    expect(server.waits).toHaveLength(1);
  });

  it("waits longer and longer while each stream ends immediately", async () => {
    const server = new FakeServer(...Array.from({ length: 6 }, tokenExpired));
    await server.follow();
    expect(server.waits.length).toBeGreaterThanOrEqual(4);
    expect(server.waits.at(-1)).toBeGreaterThan(server.waits[0] ?? 0);
  });

  it("stops when the session has ended", async () => {
    const server = new FakeServer(tokenExpired());
    server.isSessionOver = true;
    const { connection } = await server.follow();
    expect(connection).toEqual({ state: "ended", reason: "Your session has ended. Sign in again." });
    expect(server.requests).toHaveLength(1);
  });

  it("stops when access is revoked", async () => {
    const server = new FakeServer(new Response('event: revoked\ndata: {"reason":"the user is deleted"}\n\n'));
    server.hasAccess = false;
    const { connection } = await server.follow();
    expect(connection).toEqual({ state: "revoked", reason: "the user is deleted" });
    expect(server.requests).toHaveLength(1);
  });

  it("removes an admin's events when they lose admin rights, and continues with their own", async () => {
    const revoked = new Response(`${events(1)}event: revoked\ndata: {"reason":"no longer an admin"}\n\n`);
    const server = new FakeServer(revoked, new Response(events(2)));
    const { notice, sequences, viewerVersion } = await server.follow();
    expect(sequences).toEqual([2]);
    expect(notice).toContain("no longer an admin");
    expect(viewerVersion).toBe(1);
  });
});
