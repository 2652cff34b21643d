import { isFields } from "../event/event.ts";

/** The filter of the user table, as search parameters of the page's URL. */
export interface UsersSearch {
  search?: string;
  status?: string;
  type?: string;
  group?: string;
}

const STATUSES = ["active", "inactive", "deleted", "erased"];

export function parseUsersSearch(value: unknown): UsersSearch {
  if (!isFields(value)) return {};
  const text = (name: string) => (typeof value[name] === "string" && value[name] ? value[name] : undefined);
  const { search, status, type, group } = {
    search: text("search"),
    status: STATUSES.find((known) => known === value.status),
    type: text("type"),
    group: text("group"),
  };
  // Absent keys, instead of undefined ones, keep `Object.keys` a count of the active filters.
  return {
    ...(search ? { search } : {}),
    ...(status ? { status } : {}),
    ...(type ? { type } : {}),
    ...(group ? { group } : {}),
  };
}
