import { QueryClient } from "@tanstack/react-query";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { parseLine, userOf } from "../event/event.ts";
import { sample } from "../event/samples.ts";
import { FeedStore } from "../feed/store.ts";
import { keepLive, touchedBy } from "./live.ts";
import { NameBook } from "./names.ts";

const updated = sample("user-updated");
const ABOUT = userOf(updated) ?? 0;

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

it("touches one's own page only by one's own events", () => {
  expect(touchedBy(updated, ABOUT)).toContainEqual(["me"]);
  expect(touchedBy(updated, ABOUT + 1)).not.toContainEqual(["me"]);
});

it("touches both the user and the group of a membership", () => {
  const joined = sample("user-joined-group");
  const kinds = touchedBy(joined, 1).map(([kind]) => kind);
  expect(kinds).toEqual(expect.arrayContaining(["users", "user", "groups", "group", "activity"]));
});

it("asks again for what many events touch once a second, and for nothing else", () => {
  const queries = new QueryClient();
  const feed = new FeedStore();
  const keys: readonly (readonly unknown[])[] = [
    ["users", { search: "a" }],
    ["user", ABOUT],
    ["user", ABOUT + 1],
    ["status"],
  ];
  for (const key of keys) queries.setQueryData(key, {});
  const stop = keepLive(feed, queries, new NameBook(), 1);
  for (let sequence = 1; sequence <= 100; sequence++) {
    const event = parseLine(updated.raw);
    if (!event) throw new Error("the sample is no event");
    feed.take([
      {
        kind: "event",
        received: { event: { ...event, id: `${sequence}` }, cursor: { epoch: "e", sequence } },
      },
    ]);
  }
  const invalidate = vi.spyOn(queries, "invalidateQueries");
  vi.advanceTimersByTime(5_000);
  expect(invalidate).toHaveBeenCalledOnce();
  const untrue = keys.filter((key) => queries.getQueryState(key)?.isInvalidated);
  expect(untrue).toEqual([keys[0], keys[1]]);
  stop();
});
