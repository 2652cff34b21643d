// @vitest-environment happy-dom

import { QueryClient, QueryClientProvider, useInfiniteQuery } from "@tanstack/react-query";
import { act, cleanup, renderHook, waitFor } from "@testing-library/react";
import type { ReactNode } from "react";
import { afterEach, expect, it, vi } from "vitest";
import { userEventsQuery } from "../api/queries.ts";
import { type App, AppContext } from "../app/context.tsx";
import { userOf } from "../event/event.ts";
import { sample } from "../event/samples.ts";
import { apiOf } from "../test/api.ts";
import { type Log, pageOf } from "../test/log.ts";
import { CAPACITY } from "./buffer.ts";
import { FeedStore } from "./store.ts";
import type { Message } from "./stream.ts";
import { useTimeline } from "./timeline.ts";

const updated = sample("user-updated");
const PK = userOf(updated) ?? 0;

afterEach(cleanup);

function told(sequence: number, subject = updated.subject, epoch = "e"): Message {
  const event = { ...updated, id: `${epoch}-${sequence}`, subject };
  return { kind: "event", received: { event, cursor: { epoch, sequence } } };
}

/** The page of a user of whom the log has these events. */
async function open(log: Log) {
  const feed = new FeedStore();
  const api = apiOf((request) => Response.json(pageOf(log, new URL(request.url))));
  const queries = new QueryClient();
  // What the hook uses of the app.
  const app = { feed } as unknown as App;
  const around = ({ children }: { children: ReactNode }) => (
    <QueryClientProvider client={queries}>
      <AppContext value={app}>{children}</AppContext>
    </QueryClientProvider>
  );
  const { result } = renderHook(() => useTimeline(useInfiniteQuery(userEventsQuery(api, PK)), { user: PK }), {
    wrapper: around,
  });
  const receive = (...messages: Message[]) =>
    act(async () => {
      feed.take(messages);
      const last = messages.at(-1);
      // The store waits for a moment, so that the page changes once.
      await vi.waitUntil(() => last?.kind === "event" && feed.get().buffer.last === last.received.cursor);
    });
  await waitFor(() => expect(["beginning", "cut"]).toContain(result.current.reach), { timeout: 20_000 });
  const ids = () => result.current.items.map(({ id }) => id);
  return { feed, log, queries, result, receive, ids };
}

const others = (from: number) => Array.from({ length: CAPACITY }, (_, n) => told(from + n, `user/${PK + 1}`));

it("goes on after its history with what the feed brings, each once", async () => {
  const { receive, ids, result } = await open({ head: 9, sequences: [2, 9] });
  await receive(told(9), told(10), told(11, `user/${PK + 1}`));
  await receive(told(12));
  expect(ids()).toEqual(["e-2", "e-9", "e-10", "e-12"]);
  expect(result.current.reach).toBe("beginning");
});

it("keeps what it shows while thousands of events about others follow", async () => {
  const { receive, ids } = await open({ head: 9, sequences: [2] });
  await receive(told(10));
  await receive(...others(11));
  expect(ids()).toEqual(["e-2", "e-10"]);
});

it("keeps what it shows when the feed begins anew", async () => {
  const { feed, receive, ids } = await open({ head: 9, sequences: [2] });
  await receive(told(10));
  act(() => feed.beginAnew("The list begins anew."));
  expect(ids()).toEqual(["e-2", "e-10"]);
  await receive(told(10), told(12));
  expect(ids()).toEqual(["e-2", "e-10", "e-12"]);
});

it("forgets what came for somebody with other rights", async () => {
  const { feed, receive, ids } = await open({ head: 9, sequences: [2] });
  await receive(told(10));
  act(() => feed.restart("Your rights have changed."));
  expect(ids()).toEqual(["e-2"]);
});

it("takes nothing of another log over into the one that it reads now", async () => {
  const { receive, ids } = await open({ head: 9, sequences: [2] });
  await receive(told(10));
  await receive(told(3, updated.subject, "f"));
  expect(ids()).toEqual(["e-2", "f-3"]);
});

it("shows the newest of too many, and says that older ones are left out", async () => {
  const sequences = Array.from({ length: 2 * CAPACITY }, (_, n) => n + 1);
  const { receive, ids, result } = await open({ head: 2 * CAPACITY, sequences });
  expect(result.current.reach).toBe("cut");
  expect(ids()).toEqual(sequences.slice(-CAPACITY).map((sequence) => `e-${sequence}`));
  await receive(told(2 * CAPACITY + 1));
  expect(ids()).toHaveLength(CAPACITY);
  expect(ids().at(-1)).toBe(`e-${2 * CAPACITY + 1}`);
}, 20_000);

it("is cut where what comes makes room for itself", async () => {
  const { receive, ids, result } = await open({ head: 9, sequences: [2] });
  await receive(...Array.from({ length: CAPACITY }, (_, n) => told(10 + n)));
  expect(ids()[0]).toBe("e-10");
  expect(result.current.reach).toBe("cut");
});
