// @vitest-environment happy-dom

import { expect, it, vi } from "vitest";
import type { Session } from "../auth/session.ts";
import { fakeApi } from "../test/fake-api.ts";
import { CAPACITY } from "./buffer.ts";
import { browserEnvironment, chooseStart, WINDOW } from "./environment.ts";

const at = (sequence: number, epoch = "e") => ({ epoch, sequence });

it("starts a short log at its earliest event", () => {
  expect(chooseStart(at(WINDOW), null, true)).toBe("earliest");
});

it("starts a long log near its end", () => {
  expect(chooseStart(at(WINDOW + 5), null, true)).toBe("e-5");
});

it("starts a user's own events at the earliest one", () => {
  expect(chooseStart(at(1_000_000), null, false)).toBe("earliest");
});

it("starts where the list started before a reload", () => {
  expect(chooseStart(at(5_000), at(120), true)).toBe("e-120");
});

it("ignores a remembered start that is further back than a list can keep", () => {
  expect(chooseStart(at(CAPACITY + 200), at(120), true)).toBe(`e-${CAPACITY + 200 - WINDOW}`);
});

it("requests a remembered start of another log, so that the API reports the change", () => {
  expect(chooseStart(at(5_000), at(120, "before"), true)).toBe("before-120");
});

it("starts near the end of the log once the remembered start is forgotten", async () => {
  sessionStorage.setItem("feed-from:7", "before-120");
  const api = fakeApi(() => Response.json({ events: [], next: "e-5000", as_of: "e-5000" }));
  const refetchAll = vi.fn();
  // The methods tested here do not use the session.
  const environment = browserEnvironment({} as Session, api, { pk: 7, isAdmin: true }, refetchAll);
  const { signal } = new AbortController();
  expect((await environment.findStart(signal)).after).toBe("before-120");
  environment.forgetStart();
  expect(refetchAll).toHaveBeenCalledOnce();
  expect((await environment.findStart(signal)).after).toBe(`e-${5_000 - WINDOW}`);
});
