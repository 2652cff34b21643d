// @vitest-environment happy-dom

import { act, cleanup, renderHook } from "@testing-library/react";
import { afterEach, expect, it } from "vitest";
import { sample } from "../event/samples.ts";
import type { Item } from "./buffer.ts";
import { type FeedFilter, filterOf } from "./filter.ts";
import { useHold } from "./hold.ts";

const of = (id: string, type: string): Item => ({ ...sample(type), id, place: null });

const BEFORE = [of("1", "user-registered"), of("2", "user-updated")];
const NOW = [...BEFORE, of("3", "user-registered"), of("4", "user-updated"), of("5", "user-updated")];
const ALL = filterOf({});
const REGISTERED = filterOf({ type: "user-registered" });
const DELETED = filterOf({ type: "user-deleted" });

afterEach(cleanup);

/** A list that is held before more comes; then these filters, one after the other. */
function held(first: FeedFilter, ...others: FeedFilter[]) {
  const { result, rerender } = renderHook(({ items, filter }) => useHold(items, filter), {
    initialProps: { items: BEFORE, filter: first },
  });
  act(() => result.current.hold());
  rerender({ items: NOW, filter: first });
  for (const filter of others) rerender({ items: NOW, filter });
  return { shown: result.current, ids: result.current.items.map(({ id }) => id) };
}

it("stays held under a filter that the newest event does not pass", () => {
  const { ids, shown } = held(ALL, REGISTERED);
  expect(ids).toEqual(["1"]);
  expect(shown.nNew).toBe(1);
});

it("shows what was there, where a list was held that showed nothing of it", () => {
  const { ids, shown } = held(DELETED, ALL);
  expect(ids).toEqual(["1", "2"]);
  expect(shown.nNew).toBe(3);
});

it("is the same under a filter that was changed and changed back", () => {
  expect(held(REGISTERED, ALL, REGISTERED).ids).toEqual(held(REGISTERED).ids);
});

it("counts only what passes the filter as new", () => {
  expect(held(REGISTERED).shown.nNew).toBe(1);
  expect(held(DELETED).shown.nNew).toBe(0);
});

it("goes on with everything that passes", () => {
  const { result } = renderHook(() => useHold(NOW, REGISTERED));
  act(() => result.current.hold());
  act(() => result.current.release());
  expect(result.current.items.map(({ id }) => id)).toEqual(["1", "3"]);
});
