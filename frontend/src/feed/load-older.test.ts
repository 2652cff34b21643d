import { expect, it, vi } from "vitest";
import { sample } from "../event/samples.ts";
import { fakeApi } from "../test/fake-api.ts";
import { fakeTimers } from "../test/fake-timers.ts";
import { eventMessage } from "../test/messages.ts";
import { CAPACITY } from "./buffer.ts";
import { loadOlder } from "./load-older.ts";
import { FeedStore } from "./store.ts";

const { raw } = sample("user-updated");

fakeTimers();

function receive(store: FeedStore, ...sequences: number[]): void {
  store.receive(sequences.map((sequence) => eventMessage(sequence)));
  vi.runAllTimers();
}

/** A list that starts at event 43, with an unanswered request for older events. */
async function pendingRequest() {
  const store = new FeedStore();
  receive(store, 43);
  let respond = (_: Response): void => {};
  const response = new Promise<Response>((resolve) => {
    respond = resolve;
  });
  const requests: Request[] = [];
  const api = fakeApi((request) => {
    requests.push(request);
    return response;
  });
  const loaded = loadOlder(api, store);
  const { signal } = await vi.waitUntil(() => requests[0]);
  const answer = async (page: Response) => {
    respond(page);
    await loaded;
  };
  return { store, signal, answer };
}

function page(...ids: string[]): Response {
  const events = ids.map((id) => ({ ...JSON.parse(raw), id }));
  return Response.json({ events, next: "e-43", as_of: "e-43" });
}

const idsOf = (store: FeedStore) => store.get().buffer.items.map(({ id }) => id);

it("adds older events before the first event of the list", async () => {
  const { store, answer } = await pendingRequest();
  receive(store, 44);
  await answer(page("e-41", "e-42", "e-43", "e-44"));
  expect(idsOf(store)).toEqual(["e-41", "e-42", "e-43", "e-44"]);
  expect(store.get().buffer.from).toEqual({ epoch: "e", sequence: 0 });
});

it("adds nothing to another user's list", async () => {
  const { store, answer } = await pendingRequest();
  store.restartForViewer(null);
  await answer(page("e-41", "e-42", "e-43"));
  expect(store.get().buffer).toMatchObject({ items: [], from: null });
  receive(store, 7);
  expect(idsOf(store)).toEqual(["e-7"]);
});

it("adds nothing to a list that restarted at the same position", async () => {
  const { store, answer } = await pendingRequest();
  store.restartForViewer(null);
  receive(store, 43);
  await answer(page("e-41", "e-42"));
  expect(idsOf(store)).toEqual(["e-43"]);
});

it("aborts the request without an error when the list restarts", async () => {
  const { store, signal, answer } = await pendingRequest();
  expect(signal.aborted).toBe(false);
  store.restartForViewer(null);
  expect(signal.aborted).toBe(true);
  await answer(Response.json({ title: "Unauthorized", detail: "signed out" }, { status: 401 }));
  expect(store.get().buffer.items).toEqual([]);
});

it("leaves no gap in a list whose start moved", async () => {
  const { store, answer } = await pendingRequest();
  receive(store, ...Array.from({ length: CAPACITY }, (_, n) => 44 + n));
  await answer(page("e-41", "e-42", "e-43"));
  expect(idsOf(store)[0]).toBe("e-44");
  expect(store.get().buffer.from?.sequence).toBe(43);
});

it("requests from the earliest event when the earlier position was erased", async () => {
  const store = new FeedStore();
  receive(store, 1043);
  const starts: (string | null)[] = [];
  const api = fakeApi(async (request) => {
    starts.push(new URL(request.url).searchParams.get("after"));
    if (starts.length > 1) return page("e-900", "e-1043");
    return Response.json({ title: "Gone", detail: "no longer kept" }, { status: 410 });
  });
  await loadOlder(api, store);
  expect(starts).toEqual(["e-542", "earliest"]);
  expect(idsOf(store)).toEqual(["e-900", "e-1043"]);
  expect(store.get().buffer.from?.sequence).toBe(0);
});
