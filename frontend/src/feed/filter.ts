import { type EventType, groupOf, isEventType, type RecordedEvent, userOf } from "../event/event.ts";

/** Which events a list shows, as it stands in the address of the page. */
export interface FeedFilter {
  types: readonly EventType[];
  user: number | null;
}

/** How the filter is written in the address. */
export interface FeedSearch {
  type?: string;
  user?: number;
}

export function parseSearch(search: Record<string, unknown>): FeedSearch {
  const user = Number(search.user);
  const types = typesIn(typeof search.type === "string" ? search.type : "");
  return {
    ...(types.length > 0 ? { type: types.join(",") } : {}),
    ...(Number.isSafeInteger(user) && user > 0 ? { user } : {}),
  };
}

export function filterOf({ type, user }: FeedSearch): FeedFilter {
  return { types: typesIn(type ?? ""), user: user ?? null };
}

function typesIn(text: string): EventType[] {
  return text.split(",").filter(isEventType);
}

export function isAny({ types, user }: FeedFilter): boolean {
  return types.length === 0 && user === null;
}

export function matching<T extends RecordedEvent>(items: readonly T[], filter: FeedFilter): readonly T[] {
  return isAny(filter) ? items : items.filter((event) => passes(event, filter));
}

function passes(event: RecordedEvent, { types, user }: FeedFilter): boolean {
  const typePasses = types.length === 0 || types.some((type) => type === event.type);
  return typePasses && (user === null || userOf(event) === user);
}

/** The events about a user; or about a group, and its members' coming and going. Oldest first. */
export function about<T extends RecordedEvent>(
  events: readonly T[],
  subject: { user: number } | { group: string },
) {
  return events.filter((event) =>
    "user" in subject ? userOf(event) === subject.user : groupOf(event) === subject.group,
  );
}
