// @vitest-environment happy-dom

import { expect, it, vi } from "vitest";
import type { Session } from "../auth/session.ts";
import { apiOf } from "../test/api.ts";
import { CAPACITY } from "./buffer.ts";
import { placeToBegin, WINDOW, worldOf } from "./world.ts";

const at = (sequence: number, epoch = "e") => ({ epoch, sequence });

it("shows a short log whole", () => {
  expect(placeToBegin(at(WINDOW), null, true)).toBe("earliest");
});

it("begins a while before now in a long one", () => {
  expect(placeToBegin(at(WINDOW + 5), null, true)).toBe("e-5");
});

it("shows one's own events from the beginning, as they are few", () => {
  expect(placeToBegin(at(1_000_000), null, false)).toBe("earliest");
});

it("begins where the list began before a reload", () => {
  expect(placeToBegin(at(5_000), at(120), true)).toBe("e-120");
});

it("does not reach back further than a page can keep", () => {
  expect(placeToBegin(at(CAPACITY + 200), at(120), true)).toBe(`e-${CAPACITY + 200 - WINDOW}`);
});

it("asks for a place in another log, so that the answer tells that it is gone", () => {
  expect(placeToBegin(at(5_000), at(120, "before"), true)).toBe("before-120");
});

it("begins a while before now once the place of this tab is forgotten", async () => {
  sessionStorage.setItem("feed-from:7", "before-120");
  const api = apiOf(() => Response.json({ events: [], next: "e-5000", as_of: "e-5000" }));
  // Its own requests are all that it uses a session for.
  const askAgain = vi.fn();
  const world = worldOf({} as Session, api, { pk: 7, isAdmin: true }, askAgain);
  const { signal } = new AbortController();
  expect((await world.begin(signal)).after).toBe("before-120");
  world.forgetPlace();
  expect(askAgain).toHaveBeenCalledOnce();
  expect((await world.begin(signal)).after).toBe(`e-${5_000 - WINDOW}`);
});
