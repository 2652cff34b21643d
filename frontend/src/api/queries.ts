import { infiniteQueryOptions, keepPreviousData, queryOptions } from "@tanstack/react-query";
import { afterOf, BEGINNING, nextStretch, PAGE, readPage } from "../feed/history.ts";
import { type Api, answer, type Schemas } from "./client.ts";

/** How soon to ask again for a caller whom nobody has recorded yet. */
const PENDING_MS = 2_000;

/** The caller; nothing as long as nobody has recorded them. */
export function meQuery(api: Api) {
  return queryOptions({
    queryKey: ["me"],
    queryFn: async ({ signal }): Promise<Schemas["Me"] | null> => {
      const me = await answer(api.GET("/api/me", { signal }));
      return "pk" in me ? me : null;
    },
    refetchInterval: ({ state }) => (state.data === null ? PENDING_MS : false),
  });
}

export interface UserFilter {
  search?: string;
  status?: string;
  type?: string;
  group?: string;
}

export function usersQuery(api: Api, filter: UserFilter) {
  return infiniteQueryOptions({
    queryKey: ["users", filter],
    queryFn: ({ pageParam, signal }) =>
      answer(
        api.GET("/api/users", {
          params: { query: { ...filter, limit: PAGE, ...(pageParam ? { cursor: pageParam } : {}) } },
          signal,
        }),
      ),
    initialPageParam: "",
    getNextPageParam: (page) => page.next,
    placeholderData: keepPreviousData,
  });
}

export function userQuery(api: Api, pk: number) {
  return queryOptions({
    queryKey: ["user", pk],
    queryFn: ({ signal }) => answer(api.GET("/api/users/{pk}", { params: { path: { pk } }, signal })),
  });
}

/** What was recorded of a user: all of it, or the newest. */
export function userEventsQuery(api: Api, pk: number) {
  return infiniteQueryOptions({
    queryKey: ["user-events", pk],
    queryFn: async ({ pageParam, signal }) =>
      readPage(
        await answer(
          api.GET("/api/users/{pk}/events", {
            params: { path: { pk }, query: { after: afterOf(pageParam), limit: PAGE } },
            signal,
          }),
        ),
        pageParam,
      ),
    initialPageParam: BEGINNING,
    getNextPageParam: (_, pages) => nextStretch(pages),
    // What comes later comes by the feed.
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 0,
  });
}

const GROUP_TYPES = "group-created,group-updated,group-deleted,user-joined-group,user-left-group";

/** What was recorded of groups and their members: all of it, or the newest. */
export function groupEventsQuery(api: Api) {
  return infiniteQueryOptions({
    queryKey: ["group-events"],
    queryFn: async ({ pageParam, signal }) =>
      readPage(
        await answer(
          api.GET("/api/events", {
            params: { query: { after: afterOf(pageParam), type: GROUP_TYPES, limit: PAGE } },
            signal,
          }),
        ),
        pageParam,
      ),
    initialPageParam: BEGINNING,
    getNextPageParam: (_, pages) => nextStretch(pages),
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 0,
  });
}

export function groupsQuery(api: Api, search: string) {
  return infiniteQueryOptions({
    queryKey: ["groups", search],
    queryFn: ({ pageParam, signal }) =>
      answer(
        api.GET("/api/groups", {
          params: {
            query: {
              limit: PAGE,
              ...(search ? { search } : {}),
              ...(pageParam ? { cursor: pageParam } : {}),
            },
          },
          signal,
        }),
      ),
    initialPageParam: "",
    getNextPageParam: (page) => page.next,
    placeholderData: keepPreviousData,
  });
}

export function groupQuery(api: Api, uuid: string) {
  return queryOptions({
    queryKey: ["group", uuid],
    queryFn: ({ signal }) => answer(api.GET("/api/groups/{uuid}", { params: { path: { uuid } }, signal })),
  });
}

export function activityQuery(api: Api, days: number) {
  return queryOptions({
    queryKey: ["activity", days],
    queryFn: ({ signal }) => answer(api.GET("/api/activity", { params: { query: { days } }, signal })),
    placeholderData: keepPreviousData,
  });
}
