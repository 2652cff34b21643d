// @vitest-environment happy-dom

import { act, cleanup, renderHook } from "@testing-library/react";
import { afterEach, expect, it } from "vitest";
import { sample } from "../event/samples.ts";
import type { Item } from "./buffer.ts";
import { type FeedFilter, filterOf } from "./filter.ts";
import { useFreezableList } from "./freezable-list.ts";

const item = (id: string, type: string): Item => ({ ...sample(type), id, cursor: null });

const BEFORE = [item("1", "user-registered"), item("2", "user-updated")];
const NOW = [...BEFORE, item("3", "user-registered"), item("4", "user-updated"), item("5", "user-updated")];
const ALL = filterOf({});
const REGISTERED = filterOf({ type: "user-registered" });
const DELETED = filterOf({ type: "user-deleted" });

afterEach(cleanup);

/** A list that is frozen before more events arrive, and then shown with each of the filters in turn. */
function frozen(first: FeedFilter, ...others: FeedFilter[]) {
  const { result, rerender } = renderHook(({ items, filter }) => useFreezableList(items, filter), {
    initialProps: { items: BEFORE, filter: first },
  });
  act(() => result.current.freeze());
  rerender({ items: NOW, filter: first });
  for (const filter of others) rerender({ items: NOW, filter });
  return { nNew: result.current.nNew, ids: result.current.items.map(({ id }) => id) };
}

it("stays frozen under a filter that does not match the newest event", () => {
  const { ids, nNew } = frozen(ALL, REGISTERED);
  expect(ids).toEqual(["1"]);
  expect(nNew).toBe(1);
});

it("shows earlier events under another filter, also when it was empty when frozen", () => {
  const { ids, nNew } = frozen(DELETED, ALL);
  expect(ids).toEqual(["1", "2"]);
  expect(nNew).toBe(3);
});

it("is the same after a filter is changed and changed back", () => {
  expect(frozen(REGISTERED, ALL, REGISTERED).ids).toEqual(frozen(REGISTERED).ids);
});

it("counts only matching events as new", () => {
  expect(frozen(REGISTERED).nNew).toBe(1);
  expect(frozen(DELETED).nNew).toBe(0);
});

it("shows all matching events once it is unfrozen", () => {
  const { result } = renderHook(() => useFreezableList(NOW, REGISTERED));
  act(() => result.current.freeze());
  act(() => result.current.unfreeze());
  expect(result.current.items.map(({ id }) => id)).toEqual(["1", "3"]);
});
