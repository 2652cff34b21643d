import { type EventType, groupOf, isEventType, type RecordedEvent, userOf } from "../event/event.ts";

/** Selects the events that a list shows. */
export interface FeedFilter {
  types: readonly EventType[];
  user: number | null;
}

/** The filter as search parameters of the page's URL. */
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

export function matchesAll({ types, user }: FeedFilter): boolean {
  return types.length === 0 && user === null;
}

export function matching<T extends RecordedEvent>(items: readonly T[], filter: FeedFilter): readonly T[] {
  return matchesAll(filter) ? items : items.filter((event) => isMatch(event, filter));
}

function isMatch(event: RecordedEvent, { types, user }: FeedFilter): boolean {
  const typeMatches = types.length === 0 || types.some((type) => type === event.type);
  return typeMatches && (user === null || userOf(event) === user);
}

/** The events about a user, or about a group and its memberships. */
export function eventsAbout<T extends RecordedEvent>(
  events: readonly T[],
  subject: { user: number } | { group: string },
) {
  return events.filter((event) =>
    "user" in subject ? userOf(event) === subject.user : groupOf(event) === subject.group,
  );
}
