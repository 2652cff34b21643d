import { QueryClient } from "@tanstack/react-query";
import { expect, it, vi } from "vitest";
import { userOf } from "../event/event.ts";
import { sample } from "../event/samples.ts";
import { FeedStore } from "../feed/store.ts";
import { fakeTimers } from "../test/fake-timers.ts";
import { eventMessage } from "../test/messages.ts";
import { refreshOnEvents, staleKeys } from "./live.ts";
import { NameCache } from "./name-cache.ts";

const updated = sample("user-updated");
const PK = userOf(updated) ?? 0;

fakeTimers();

it("refreshes the user's own page only for their own events", () => {
  expect(staleKeys(updated, PK)).toContainEqual(["me"]);
  expect(staleKeys(updated, PK + 1)).not.toContainEqual(["me"]);
});

it("refreshes both the user and the group of a membership", () => {
  const joined = sample("user-joined-group");
  const kinds = staleKeys(joined, 1).map(([kind]) => kind);
  expect(kinds).toEqual(expect.arrayContaining(["users", "user", "groups", "group", "activity"]));
});

it("refetches only the stale queries, once for many events", () => {
  const queries = new QueryClient();
  const feed = new FeedStore();
  const keys: readonly (readonly unknown[])[] = [
    ["users", { search: "a" }],
    ["user", PK],
    ["user", PK + 1],
    ["status"],
  ];
  for (const key of keys) queries.setQueryData(key, {});
  const stop = refreshOnEvents(feed, queries, new NameCache(), 1);
  for (let sequence = 1; sequence <= 100; sequence++) feed.receive([eventMessage(sequence)]);
  const invalidate = vi.spyOn(queries, "invalidateQueries");
  vi.advanceTimersByTime(5_000);
  expect(invalidate).toHaveBeenCalledOnce();
  const stale = keys.filter((key) => queries.getQueryState(key)?.isInvalidated);
  expect(stale).toEqual([keys[0], keys[1]]);
  stop();
});
