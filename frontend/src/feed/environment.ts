import { type Api, authorizedFetch, unwrap } from "../api/client.ts";
import { RENEWAL_FAILED, type Session } from "../auth/session.ts";
import { apiCursor, CAPACITY, type Cursor, formatCursor, parseCursor } from "./buffer.ts";
import type { FeedEnvironment } from "./follow.ts";
import type { FeedStore } from "./store.ts";

/** How many sequences before the end of the log a new list starts. */
export const WINDOW = 1_000;

/** The user who sees the feed. */
export interface Viewer {
  pk: number;
  isAdmin: boolean;
}

/** The environment of the feed in a browser. `refetchAll` is called when data on the page may be stale. */
export function browserEnvironment(
  session: Session,
  api: Api,
  viewer: Viewer,
  refetchAll: () => void,
): FeedEnvironment {
  return {
    request: (path, headers, signal) => {
      const url = new URL(path, location.origin);
      return authorizedFetch(session, new Request(url, { headers, signal, cache: "no-store" }));
    },
    findStart: async (signal) => {
      const page = await unwrap(
        api.GET("/api/events", { params: { query: { after: "now", limit: 1 } }, signal }),
      );
      const head = apiCursor(page.as_of);
      return { after: chooseStart(head, rememberedStart(viewer.pk), viewer.isAdmin), head };
    },
    forgetStart: () => {
      sessionStorage.removeItem(keyOf(viewer.pk));
      // Events between the old and the new list did not refresh the other pages.
      refetchAll();
    },
    wait,
    renewSession: async () => {
      const renewal = await session.renew();
      if (renewal === "unreachable") throw new Error(RENEWAL_FAILED);
      return renewal === "renewed";
    },
    // A user who only lost their admin rights keeps access. For any other user this request ends the session.
    keepsAccess: async () => {
      const { response } = await api.GET("/api/me");
      if (response.ok) refetchAll();
      return response.ok;
    },
  };
}

/** Where a list starts: where it started before a reload of the tab, unless that is too far back. */
export function chooseStart(head: Cursor, remembered: Cursor | null, isAdmin: boolean): string {
  // A cursor of another log is requested too: the refusal makes the page tell the user that the list was restarted.
  const isNear = remembered?.epoch !== head.epoch || head.sequence - remembered.sequence <= CAPACITY;
  if (remembered && isNear) return formatCursor(remembered);
  // A user's own events are few, however long the log is.
  if (!isAdmin || head.sequence <= WINDOW) return "earliest";
  return formatCursor({ ...head, sequence: head.sequence - WINDOW });
}

const keyOf = (pk: number) => `feed-from:${pk}`;

function rememberedStart(pk: number): Cursor | null {
  return parseCursor(sessionStorage.getItem(keyOf(pk)) ?? "");
}

/** Stores where the list starts, so that a reload of this tab shows the same list. Returns a function that stops it. */
export function rememberStart(store: FeedStore, pk: number): () => void {
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
    const finish = () => {
      clearTimeout(timer);
      removeEventListener("online", finish);
      signal.removeEventListener("abort", finish);
      resolve();
    };
    const timer = setTimeout(finish, milliseconds);
    addEventListener("online", finish);
    signal.addEventListener("abort", finish);
  });
}
