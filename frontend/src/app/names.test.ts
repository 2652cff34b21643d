import { expect, it, vi } from "vitest";
import type { RecordedEvent } from "../event/event.ts";
import { parseLine } from "../event/event.ts";
import { sample } from "../event/samples.ts";
import { NameBook } from "./names.ts";

/** As many people who registered, each with a name. */
function registrations(n: number): RecordedEvent[] {
  const { raw } = sample("user-registered");
  return Array.from({ length: n }, (_, index) => {
    const pk = 100 + index;
    const own = JSON.parse(raw);
    own.subject = `user/${pk}`;
    own.data.user = { ...own.data.user, pk, name: `Person ${pk}` };
    return parseLine(JSON.stringify(own)) ?? raise();
  });
}

function raise(): never {
  throw new Error("the sample is no event");
}

it("tells of many names once", () => {
  const names = new NameBook();
  const look = vi.fn();
  names.subscribe(look);
  names.learnFrom(registrations(3));
  expect([100, 101, 102, 103].map((pk) => names.get(pk))).toEqual([
    "Person 100",
    "Person 101",
    "Person 102",
    null,
  ]);
  expect(look).toHaveBeenCalledOnce();
});

it("is silent about what it knew", () => {
  const names = new NameBook();
  names.learnFrom(registrations(2));
  const look = vi.fn();
  names.subscribe(look);
  names.learnFrom(registrations(2));
  expect(look).not.toHaveBeenCalled();
});

it("keeps no name of who was erased", () => {
  const names = new NameBook();
  names.learnFrom([sample("user-erased")]);
  expect(names.get(42)).toBeNull();
});

it("forgets everything for the next person, and asks again", () => {
  const names = new NameBook();
  names.learn(1, "Ada");
  expect(names.shouldAsk(2)).toBe(true);
  expect(names.shouldAsk(2)).toBe(false);
  names.forget();
  expect(names.get(1)).toBeNull();
  expect(names.shouldAsk(2)).toBe(true);
});
