import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { type Api, answer } from "../api/client.ts";

const STATUS_MS = 2_000;
const RUNNING_MS = 1_000;
const IDLE_MS = 10_000;
const PAGE = 50;

export function statusQuery(api: Api) {
  return queryOptions({
    queryKey: ["status"],
    queryFn: ({ signal }) => answer(api.GET("/api/status", { signal })),
    refetchInterval: STATUS_MS,
  });
}

export function deadLettersQuery(api: Api) {
  return infiniteQueryOptions({
    queryKey: ["dead-letters"],
    queryFn: ({ pageParam, signal }) =>
      answer(
        api.GET("/api/dead-letters", {
          params: { query: { limit: PAGE, ...(pageParam ? { cursor: pageParam } : {}) } },
          signal,
        }),
      ),
    initialPageParam: "",
    getNextPageParam: (page) => page.next,
  });
}

export function deadLetterQuery(api: Api, id: string) {
  return queryOptions({
    queryKey: ["dead-letter", id],
    queryFn: ({ signal }) => answer(api.GET("/api/dead-letters/{id}", { params: { path: { id } }, signal })),
    // It can be personal data: kept no longer than it is shown.
    gcTime: 0,
  });
}

/** The last operations; asked for often as long as one of them runs. */
export function operationsQuery(api: Api) {
  return queryOptions({
    queryKey: ["operations"],
    queryFn: ({ signal }) => answer(api.GET("/api/operations", { signal })),
    refetchInterval: ({ state }) =>
      state.data?.operations.some((operation) => operation.state === "running") ? RUNNING_MS : IDLE_MS,
  });
}
