import { queryOptions } from "@tanstack/react-query";
import { type Api, unwrap } from "../api/client.ts";
import { pagedQuery } from "../api/queries.ts";

const STATUS_MS = 2_000;
const RUNNING_MS = 1_000;
const IDLE_MS = 10_000;
const PAGE = 50;

export function statusQuery(api: Api) {
  return queryOptions({
    queryKey: ["status"],
    queryFn: ({ signal }) => unwrap(api.GET("/api/status", { signal })),
    refetchInterval: STATUS_MS,
  });
}

export function deadLettersQuery(api: Api) {
  return pagedQuery(["dead-letters"], (cursor, signal) =>
    unwrap(api.GET("/api/dead-letters", { params: { query: { limit: PAGE, cursor } }, signal })),
  );
}

export function deadLetterQuery(api: Api, id: string) {
  return queryOptions({
    queryKey: ["dead-letter", id],
    queryFn: ({ signal }) => unwrap(api.GET("/api/dead-letters/{id}", { params: { path: { id } }, signal })),
    // A dead letter can hold personal data: drop it from the cache when it is closed.
    gcTime: 0,
  });
}

/** The latest operations, polled faster while one of them runs. */
export function operationsQuery(api: Api) {
  return queryOptions({
    queryKey: ["operations"],
    queryFn: ({ signal }) => unwrap(api.GET("/api/operations", { signal })),
    refetchInterval: ({ state }) =>
      state.data?.operations.some((operation) => operation.state === "running") ? RUNNING_MS : IDLE_MS,
  });
}
