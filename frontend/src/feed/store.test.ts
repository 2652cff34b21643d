import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { sample } from "../event/samples.ts";
import { FeedStore } from "./store.ts";
import type { Message } from "./stream.ts";

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

it("changes the page once for all that comes within a moment", () => {
  const store = new FeedStore();
  const look = vi.fn();
  store.subscribe(look);
  for (let n = 1; n <= 500; n++) store.take([at(n)]);
  expect(look).not.toHaveBeenCalled();
  vi.runAllTimers();
  expect(look).toHaveBeenCalledOnce();
  expect(store.get().buffer.items).toHaveLength(500);
});

it("goes on after what it received, also before the page shows it", () => {
  const store = new FeedStore();
  store.take([at(1), { kind: "progress", cursor: { epoch: "e", sequence: 9 } }]);
  expect(store.last).toEqual({ epoch: "e", sequence: 9 });
});

it("tells of arrivals, but not of those that it had", () => {
  const store = new FeedStore();
  const arrived = vi.fn();
  store.onArrival((events) => arrived(events.map(({ id }) => id)));
  store.take([at(1), at(2)]);
  vi.runAllTimers();
  store.take([at(2)]);
  vi.runAllTimers();
  expect(arrived.mock.calls).toEqual([[["e-1", "e-2"]]]);
});

it("forgets what was on its way when it begins anew", () => {
  const store = new FeedStore();
  store.take([at(1)]);
  store.restart("The list begins anew.");
  vi.runAllTimers();
  expect(store.get().buffer.items).toEqual([]);
  expect(store.last).toBeNull();
  expect(store.get().notice).toBe("The list begins anew.");
});
