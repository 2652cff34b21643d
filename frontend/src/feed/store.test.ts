import { expect, it, vi } from "vitest";
import { fakeTimers } from "../test/fake-timers.ts";
import { eventMessage } from "../test/messages.ts";
import { FeedStore } from "./store.ts";

fakeTimers();

it("notifies once for all messages of a batch", () => {
  const store = new FeedStore();
  const listener = vi.fn();
  store.subscribe(listener);
  for (let n = 1; n <= 500; n++) store.receive([eventMessage(n)]);
  expect(listener).not.toHaveBeenCalled();
  vi.runAllTimers();
  expect(listener).toHaveBeenCalledOnce();
  expect(store.get().buffer.items).toHaveLength(500);
});

it("knows the last received position before the page shows it", () => {
  const store = new FeedStore();
  store.receive([eventMessage(1), { kind: "progress", cursor: { epoch: "e", sequence: 9 } }]);
  expect(store.lastCursor).toEqual({ epoch: "e", sequence: 9 });
});

it("reports each arrival once", () => {
  const store = new FeedStore();
  const arrived = vi.fn();
  store.onArrival((events) => arrived(events.map(({ id }) => id)));
  store.receive([eventMessage(1), eventMessage(2)]);
  vi.runAllTimers();
  store.receive([eventMessage(2)]);
  vi.runAllTimers();
  expect(arrived.mock.calls).toEqual([[["e-1", "e-2"]]]);
});

it("drops pending messages when it restarts", () => {
  const store = new FeedStore();
  store.receive([eventMessage(1)]);
  store.restartForViewer("The list was restarted.");
  vi.runAllTimers();
  expect(store.get().buffer.items).toEqual([]);
  expect(store.lastCursor).toBeNull();
  expect(store.get().notice).toBe("The list was restarted.");
});
