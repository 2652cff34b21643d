import { expect, it, vi } from "vitest";
import { parseLine, type RecordedEvent } from "../event/event.ts";
import { sample } from "../event/samples.ts";
import { NameCache } from "./name-cache.ts";

/** Registrations of `n` users with different names. */
function registrations(n: number): RecordedEvent[] {
  const { raw } = sample("user-registered");
  return Array.from({ length: n }, (_, index) => {
    const pk = 100 + index;
    const json = JSON.parse(raw);
    json.subject = `user/${pk}`;
    json.data.user = { ...json.data.user, pk, name: `Person ${pk}` };
    const event = parseLine(JSON.stringify(json));
    if (!event) throw new Error("the sample is not an event");
    return event;
  });
}

it("notifies once for many names", () => {
  const names = new NameCache();
  const listener = vi.fn();
  names.subscribe(listener);
  names.learnFromEvents(registrations(3));
  expect([100, 101, 102, 103].map((pk) => names.get(pk))).toEqual([
    "Person 100",
    "Person 101",
    "Person 102",
    null,
  ]);
  expect(listener).toHaveBeenCalledOnce();
});

it("does not notify when no name changed", () => {
  const names = new NameCache();
  names.learnFromEvents(registrations(2));
  const listener = vi.fn();
  names.subscribe(listener);
  names.learnFromEvents(registrations(2));
  expect(listener).not.toHaveBeenCalled();
});

it("keeps no name of an erased user", () => {
  const names = new NameCache();
  names.learnFromEvents([sample("user-erased")]);
  expect(names.get(42)).toBeNull();
});

it("forgets names and lookups when it is cleared", () => {
  const names = new NameCache();
  names.learn(1, "Ada");
  expect(names.claimLookup(2)).toBe(true);
  expect(names.claimLookup(2)).toBe(false);
  names.clear();
  expect(names.get(1)).toBeNull();
  expect(names.claimLookup(2)).toBe(true);
});
