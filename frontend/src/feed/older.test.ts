import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { sample } from "../event/samples.ts";
import { apiOf } from "../test/api.ts";
import { CAPACITY } from "./buffer.ts";
import { loadOlder } from "./older.ts";
import { FeedStore } from "./store.ts";
import type { Message } from "./stream.ts";

const { raw } = sample("user-updated");

const at = (sequence: number): Message => ({
  kind: "event",
  received: { event: { ...sample("user-updated"), id: `e-${sequence}` }, cursor: { epoch: "e", sequence } },
});

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function receive(store: FeedStore, ...sequences: number[]): void {
  store.take(sequences.map(at));
  vi.runAllTimers();
}

/** A list from the 43rd event on, whose older ones were asked for, and are not answered yet. */
async function asking() {
  const store = new FeedStore();
  receive(store, 43);
  let answer = (_: Response): void => {};
  const answered = new Promise<Response>((resolve) => {
    answer = resolve;
  });
  const requests: Request[] = [];
  const api = apiOf((request) => {
    requests.push(request);
    return answered;
  });
  const loaded = loadOlder(api, store);
  const request = await vi.waitUntil(() => requests[0]);
  const settle = async (response: Response) => {
    answer(response);
    await loaded;
  };
  return { store, signal: request.signal, answer: settle };
}

function page(...ids: string[]): Response {
  const events = ids.map((id) => ({ ...JSON.parse(raw), id }));
  return Response.json({ events, next: "e-43", as_of: "e-43" });
}

const idsOf = (store: FeedStore) => store.get().buffer.items.map(({ id }) => id);

it("puts older ones before what is there, up to where that begins", async () => {
  const { store, answer } = await asking();
  receive(store, 44);
  await answer(page("e-41", "e-42", "e-43", "e-44"));
  expect(idsOf(store)).toEqual(["e-41", "e-42", "e-43", "e-44"]);
  expect(store.get().buffer.from).toEqual({ epoch: "e", sequence: 0 });
});

it("puts nothing into the list of somebody else", async () => {
  const { store, answer } = await asking();
  store.restart(null);
  await answer(page("e-41", "e-42", "e-43"));
  expect(store.get().buffer).toMatchObject({ items: [], from: null });
  receive(store, 7);
  expect(idsOf(store)).toEqual(["e-7"]);
});

it("puts nothing into a list that began anew at the same place", async () => {
  const { store, answer } = await asking();
  store.restart(null);
  receive(store, 43);
  await answer(page("e-41", "e-42"));
  expect(idsOf(store)).toEqual(["e-43"]);
});

it("gives up the request when another list begins, and says nothing of it", async () => {
  const { store, signal, answer } = await asking();
  expect(signal.aborted).toBe(false);
  store.restart(null);
  expect(signal.aborted).toBe(true);
  await answer(Response.json({ title: "Unauthorized", detail: "signed out" }, { status: 401 }));
  expect(store.get().buffer.items).toEqual([]);
});

it("makes no hole in a list that begins later by now", async () => {
  const { store, answer } = await asking();
  receive(store, ...Array.from({ length: CAPACITY }, (_, n) => 44 + n));
  await answer(page("e-41", "e-42", "e-43"));
  expect(idsOf(store)[0]).toBe("e-44");
  expect(store.get().buffer.from?.sequence).toBe(43);
});

it("asks from the earliest event where the place before was erased", async () => {
  const store = new FeedStore();
  receive(store, 1043);
  const asked: (string | null)[] = [];
  const api = apiOf(async (request) => {
    asked.push(new URL(request.url).searchParams.get("after"));
    if (asked.length > 1) return page("e-900", "e-1043");
    return Response.json({ title: "Gone", detail: "no longer kept" }, { status: 410 });
  });
  await loadOlder(api, store);
  expect(asked).toEqual(["e-542", "earliest"]);
  expect(idsOf(store)).toEqual(["e-900", "e-1043"]);
  expect(store.get().buffer.from?.sequence).toBe(0);
});
