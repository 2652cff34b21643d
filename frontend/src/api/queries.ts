import { infiniteQueryOptions, keepPreviousData, type QueryKey, queryOptions } from "@tanstack/react-query";
import { afterOf, FROM_EARLIEST, type LogRange, nextRange, PAGE, readPage } from "../feed/history.ts";
import type { UsersSearch } from "../users/search.ts";
import { type Api, type Schemas, unwrap } from "./client.ts";

/** The interval between requests while the caller is not recorded yet. */
const PENDING_MS = 2_000;

/** A list that the API answers in pages. `fetchPage` requests the page at a cursor; the first page has none. */
export function pagedQuery<Page extends { next?: string | null }>(
  queryKey: QueryKey,
  fetchPage: (cursor: string | undefined, signal: AbortSignal) => Promise<Page>,
) {
  return infiniteQueryOptions({
    queryKey,
    queryFn: ({ pageParam, signal }) => fetchPage(pageParam || undefined, signal),
    initialPageParam: "",
    getNextPageParam: (page: Page) => page.next,
    placeholderData: keepPreviousData,
  });
}

/** Recorded events, complete or only the newest. `fetchPage` requests events after a cursor. */
function historyQuery(
  queryKey: QueryKey,
  fetchPage: (query: { after: string; limit: number }, signal: AbortSignal) => Promise<Schemas["EventPage"]>,
) {
  return infiniteQueryOptions({
    queryKey,
    queryFn: async ({ pageParam, signal }) =>
      readPage(await fetchPage({ after: afterOf(pageParam), limit: PAGE }, signal), pageParam),
    initialPageParam: FROM_EARLIEST as LogRange,
    getNextPageParam: (_, pages) => nextRange(pages),
    // The feed brings later events.
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 0,
  });
}

/** The caller; null until they are recorded. */
export function meQuery(api: Api) {
  return queryOptions({
    queryKey: ["me"],
    queryFn: async ({ signal }): Promise<Schemas["Me"] | null> => {
      const me = await unwrap(api.GET("/api/me", { signal }));
      return "pk" in me ? me : null;
    },
    refetchInterval: ({ state }) => (state.data === null ? PENDING_MS : false),
  });
}

export function usersQuery(api: Api, filter: UsersSearch) {
  return pagedQuery(["users", filter], (cursor, signal) =>
    unwrap(api.GET("/api/users", { params: { query: { ...filter, limit: PAGE, cursor } }, signal })),
  );
}

export function userQuery(api: Api, pk: number) {
  return queryOptions({
    queryKey: ["user", pk],
    queryFn: ({ signal }) => unwrap(api.GET("/api/users/{pk}", { params: { path: { pk } }, signal })),
  });
}

export function userEventsQuery(api: Api, pk: number) {
  return historyQuery(["user-events", pk], (query, signal) =>
    unwrap(api.GET("/api/users/{pk}/events", { params: { path: { pk }, query }, signal })),
  );
}

const GROUP_TYPES = "group-created,group-updated,group-deleted,user-joined-group,user-left-group";

/** Events of all groups and their members. */
export function groupEventsQuery(api: Api) {
  return historyQuery(["group-events"], (query, signal) =>
    unwrap(api.GET("/api/events", { params: { query: { ...query, type: GROUP_TYPES } }, signal })),
  );
}

export function groupsQuery(api: Api, search: string) {
  return pagedQuery(["groups", search], (cursor, signal) => {
    const query = { limit: PAGE, search: search || undefined, cursor };
    return unwrap(api.GET("/api/groups", { params: { query }, signal }));
  });
}

export function groupQuery(api: Api, uuid: string) {
  return queryOptions({
    queryKey: ["group", uuid],
    queryFn: ({ signal }) => unwrap(api.GET("/api/groups/{uuid}", { params: { path: { uuid } }, signal })),
  });
}

export function activityQuery(api: Api, days: number) {
  return queryOptions({
    queryKey: ["activity", days],
    queryFn: ({ signal }) => unwrap(api.GET("/api/activity", { params: { query: { days } }, signal })),
    placeholderData: keepPreviousData,
  });
}
