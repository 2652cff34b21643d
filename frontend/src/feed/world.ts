import { type Api, answer, askAs } from "../api/client.ts";
import type { Session } from "../auth/session.ts";
import { CAPACITY, type Cursor, formatCursor, parseCursor } from "./buffer.ts";
import type { World } from "./follow.ts";
import type { FeedStore } from "./store.ts";

/** How much of the log before now a list begins with. */
export const WINDOW = 1_000;

/** Whose feed is followed. */
export interface Viewer {
  pk: number;
  isAdmin: boolean;
}

/** What following the feed needs. `askAgain` is called where what pages show may be untrue. */
export function worldOf(session: Session, api: Api, viewer: Viewer, askAgain: () => void): World {
  return {
    ask: (path, headers, signal) =>
      askAs(session, new Request(new URL(path, location.origin), { headers, signal, cache: "no-store" })),
    begin: async (signal) => {
      const page = await answer(
        api.GET("/api/events", { params: { query: { after: "now", limit: 1 } }, signal }),
      );
      const head = parseCursor(page.as_of);
      if (!head) throw new Error("the API gave a cursor that is none");
      return { after: placeToBegin(head, recall(viewer.pk), viewer.isAdmin), head };
    },
    forgetPlace: () => {
      sessionStorage.removeItem(keyOf(viewer.pk));
      // What happened between the lists touched other pages as well, and nobody told them.
      askAgain();
    },
    wait,
    renew: async () => {
      const renewal = await session.renew();
      if (renewal === "unreachable") throw new Error("authentik cannot be reached to renew the session");
      return renewal === "renewed";
    },
    // Who lost the rights of an admin only may go on. Anybody else is out, which ends the session.
    mayGoOn: async () => {
      const { response } = await api.GET("/api/me");
      if (response.ok) askAgain();
      return response.ok;
    },
  };
}

/** Where the list of this tab began before a reload, if that is not too far away; else a while before now. */
export function placeToBegin(head: Cursor, earlier: Cursor | null, isAdmin: boolean): string {
  // A place in another log is asked for as well: the answer tells the person that the list begins anew.
  const isNear = earlier?.epoch !== head.epoch || head.sequence - earlier.sequence <= CAPACITY;
  if (earlier && isNear) return formatCursor(earlier);
  // One's own events are few, wherever they are in the log.
  if (!isAdmin || head.sequence <= WINDOW) return "earliest";
  return formatCursor({ ...head, sequence: head.sequence - WINDOW });
}

const keyOf = (pk: number) => `feed-from:${pk}`;

function recall(pk: number): Cursor | null {
  return parseCursor(sessionStorage.getItem(keyOf(pk)) ?? "");
}

/** Keeps the place where the list begins over reloads of this tab. */
export function rememberPlace(store: FeedStore, pk: number): () => void {
  let written: Cursor | null = null;
  return store.subscribe(() => {
    const { from } = store.get().buffer;
    if (!from || from === written) return;
    sessionStorage.setItem(keyOf(pk), formatCursor(from));
    written = from;
  });
}

async function wait(milliseconds: number, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    const done = () => {
      clearTimeout(timer);
      removeEventListener("online", done);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    addEventListener("online", done);
    signal.addEventListener("abort", done);
  });
}
