// @vitest-environment happy-dom

import { QueryClient, QueryClientProvider, useInfiniteQuery } from "@tanstack/react-query";
import { act, cleanup, renderHook, waitFor } from "@testing-library/react";
import type { ReactNode } from "react";
import { afterEach, expect, it, vi } from "vitest";
import { userEventsQuery } from "../api/queries.ts";
import { type App, AppContext } from "../app/context.tsx";
import { userOf } from "../event/event.ts";
import { sample } from "../event/samples.ts";
import { fakeApi } from "../test/fake-api.ts";
import { type Log, pageOf } from "../test/fake-log.ts";
import { eventMessage } from "../test/messages.ts";
import { CAPACITY } from "./buffer.ts";
import { FeedStore } from "./store.ts";
import type { Message } from "./stream.ts";
import { useTimeline } from "./timeline.ts";

const updated = sample("user-updated");
const PK = userOf(updated) ?? 0;

afterEach(cleanup);

/** The timeline of a user whose events are in the log. */
async function open(log: Log) {
  const feed = new FeedStore();
  const api = fakeApi((request) => Response.json(pageOf(log, new URL(request.url))));
  const queries = new QueryClient();
  // The hook uses only the feed.
  const app = { feed } as unknown as App;
  const wrapper = ({ children }: { children: ReactNode }) => (
    <QueryClientProvider client={queries}>
      <AppContext value={app}>{children}</AppContext>
    </QueryClientProvider>
  );
  const { result } = renderHook(() => useTimeline(useInfiniteQuery(userEventsQuery(api, PK)), { user: PK }), {
    wrapper,
  });
  const receive = (...messages: Message[]) =>
    act(async () => {
      feed.receive(messages);
      const last = messages.at(-1);
      // The store applies messages in batches.
      await vi.waitUntil(() => last?.kind === "event" && feed.get().buffer.last === last.received.cursor);
    });
  await waitFor(() => expect(["complete", "truncated"]).toContain(result.current.completeness), {
    timeout: 20_000,
  });
  const ids = () => result.current.items.map(({ id }) => id);
  return { feed, log, queries, result, receive, ids };
}

const others = (from: number) =>
  Array.from({ length: CAPACITY }, (_, n) => eventMessage(from + n, `user/${PK + 1}`));

it("continues its history with the feed's events, each once", async () => {
  const { receive, ids, result } = await open({ head: 9, sequences: [2, 9] });
  await receive(eventMessage(9), eventMessage(10), eventMessage(11, `user/${PK + 1}`));
  await receive(eventMessage(12));
  expect(ids()).toEqual(["e-2", "e-9", "e-10", "e-12"]);
  expect(result.current.completeness).toBe("complete");
});

it("keeps its events while thousands of events about other users arrive", async () => {
  const { receive, ids } = await open({ head: 9, sequences: [2] });
  await receive(eventMessage(10));
  await receive(...others(11));
  expect(ids()).toEqual(["e-2", "e-10"]);
});

it("keeps its events when the feed restarts for the same viewer", async () => {
  const { feed, receive, ids } = await open({ head: 9, sequences: [2] });
  await receive(eventMessage(10));
  act(() => feed.restartList("The list was restarted."));
  expect(ids()).toEqual(["e-2", "e-10"]);
  await receive(eventMessage(10), eventMessage(12));
  expect(ids()).toEqual(["e-2", "e-10", "e-12"]);
});

it("drops live events when the viewer's permissions change", async () => {
  const { feed, receive, ids } = await open({ head: 9, sequences: [2] });
  await receive(eventMessage(10));
  act(() => feed.restartForViewer("Your permissions have changed."));
  expect(ids()).toEqual(["e-2"]);
});

it("drops live events of another log", async () => {
  const { receive, ids } = await open({ head: 9, sequences: [2] });
  await receive(eventMessage(10));
  await receive(eventMessage(3, updated.subject, "f"));
  expect(ids()).toEqual(["e-2", "f-3"]);
});

it("shows only the newest events of a long history, as truncated", async () => {
  const sequences = Array.from({ length: 2 * CAPACITY }, (_, n) => n + 1);
  const { receive, ids, result } = await open({ head: 2 * CAPACITY, sequences });
  expect(result.current.completeness).toBe("truncated");
  expect(ids()).toEqual(sequences.slice(-CAPACITY).map((sequence) => `e-${sequence}`));
  await receive(eventMessage(2 * CAPACITY + 1));
  expect(ids()).toHaveLength(CAPACITY);
  expect(ids().at(-1)).toBe(`e-${2 * CAPACITY + 1}`);
}, 20_000);

it("is truncated when new events push out old ones", async () => {
  const { receive, ids, result } = await open({ head: 9, sequences: [2] });
  await receive(...Array.from({ length: CAPACITY }, (_, n) => eventMessage(10 + n)));
  expect(ids()[0]).toBe("e-10");
  expect(result.current.completeness).toBe("truncated");
});
