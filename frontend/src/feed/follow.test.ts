import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { sample } from "../event/samples.ts";
import { follow, type World } from "./follow.ts";
import { FeedStore } from "./store.ts";

const { raw } = sample("user-registered");

function events(...sequences: number[]): string {
  const lines = sequences.map((n) => `id: e-${n}\nevent: user-registered\ndata: ${raw}\n\n`);
  return lines.join("");
}

function problem(status: number, detail: string): Response {
  return Response.json({ title: "Refused", status, detail }, { status });
}

/** A server that gives these answers, one after the other; then the page is closed. */
class Server implements World {
  readonly asked: { path: string; lastEventId: string | undefined }[] = [];
  readonly waits: number[] = [];
  isSessionOver = false;
  mayStay = true;
  /** Where the list of the tab began before. */
  private place: string | null = "e-0";
  private readonly closed = new AbortController();
  private readonly answers: Response[];

  constructor(...answers: Response[]) {
    this.answers = answers;
  }

  async ask(path: string, headers: Record<string, string>): Promise<Response> {
    this.asked.push({ path, lastEventId: headers["last-event-id"] });
    const answer = this.answers.shift();
    if (answer) return answer;
    this.closed.abort();
    throw new Error("the page is closed");
  }

  async begin() {
    return { after: this.place ?? "e-1000", head: { epoch: "e", sequence: 2_000 } };
  }

  forgetPlace(): void {
    this.place = null;
  }

  async wait(milliseconds: number): Promise<void> {
    this.waits.push(milliseconds);
  }

  async renew(): Promise<boolean> {
    return !this.isSessionOver;
  }

  async mayGoOn(): Promise<boolean> {
    return this.mayStay;
  }

  async follow(): Promise<FeedStore> {
    const store = new FeedStore();
    await follow(store, this, this.closed.signal);
    await vi.runAllTimersAsync();
    return store;
  }
}

describe("follow", () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it("goes on after the last event, when the server comes back", async () => {
    const server = new Server(
      new Response(events(1, 2)),
      problem(503, "starting"),
      new Response(events(2, 3)),
    );
    const store = await server.follow();
    expect(server.asked.map(({ lastEventId }) => lastEventId)).toEqual([undefined, "e-2", "e-2", "e-3"]);
    expect(store.get().buffer.items.map(({ place }) => place?.sequence)).toEqual([1, 2, 3]);
    expect(server.waits.length).toBeGreaterThanOrEqual(2);
  });

  it("comes back no sooner than it is told", async () => {
    const server = new Server(new Response(`retry: 4321\n\n${events(1)}`));
    await server.follow();
    expect(server.waits[0]).toBe(4321);
  });

  const gone = () => problem(410, "the cursor is of another stream of events: begin anew");

  it("begins anew a while before now where the log is another one, and says so", async () => {
    const server = new Server(new Response(events(1)), gone(), new Response(events(1_005)));
    const store = await server.follow();
    expect(server.asked[2]?.path).toContain("after=e-1000");
    expect(store.get().notice).toBe("The list begins anew: the cursor is of another stream of events.");
    expect(store.get().buffer.items.map(({ place }) => place?.sequence)).toEqual([1_005]);
    expect(store.get().audience).toBe(0);
  });

  it("asks for all that is kept only where a while before now is refused as well", async () => {
    const server = new Server(gone(), gone(), new Response(events(1_900)));
    await server.follow();
    const places = server.asked.map(({ path }) => path.split("after=")[1]);
    expect(places.slice(0, 3)).toEqual(["e-0", "e-1000", "earliest"]);
  });

  it("renews the session at once when its token expires", async () => {
    const expired = new Response("event: token-expired\ndata: {}\n\n");
    const server = new Server(expired, new Response(events(1)));
    const store = await server.follow();
    expect(store.get().buffer.items).toHaveLength(1);
    expect(server.waits).toHaveLength(1);
  });

  it("does not hurry where each stream ends as it began", async () => {
    const expired = () => new Response("event: token-expired\ndata: {}\n\n");
    const server = new Server(...Array.from({ length: 6 }, expired));
    await server.follow();
    expect(server.waits.length).toBeGreaterThanOrEqual(4);
    expect(server.waits.at(-1)).toBeGreaterThan(server.waits[0] ?? 0);
  });

  it("ends with the session", async () => {
    const server = new Server(new Response("event: token-expired\ndata: {}\n\n"));
    server.isSessionOver = true;
    const store = await server.follow();
    expect(store.get().connection).toEqual({ state: "ended", reason: "Your session is over." });
    expect(server.asked).toHaveLength(1);
  });

  it("ends where access was taken away", async () => {
    const server = new Server(new Response('event: revoked\ndata: {"reason":"the user is deleted"}\n\n'));
    server.mayStay = false;
    const store = await server.follow();
    expect(store.get().connection).toEqual({ state: "revoked", reason: "the user is deleted" });
    expect(server.asked).toHaveLength(1);
  });

  it("forgets what was shown to an admin who is none any more, and goes on", async () => {
    const revoked = new Response(`${events(1)}event: revoked\ndata: {"reason":"no longer an admin"}\n\n`);
    const server = new Server(revoked, new Response(events(2)));
    const store = await server.follow();
    expect(store.get().buffer.items.map(({ place }) => place?.sequence)).toEqual([2]);
    expect(store.get().notice).toContain("no longer an admin");
    expect(store.get().audience).toBe(1);
  });
});
