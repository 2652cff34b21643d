import { EVENT_TYPES, type EventData } from "./types.gen.ts";

export type EventType = keyof EventData;

interface Envelope {
  id: string;
  /** `user/42` or `group/<uuid>`. */
  subject: string;
  time: string;
  /** True if `time` is the time of detection, not of the change. */
  approximate: boolean;
  channel: string;
  /** Id of the delivery or the sweep that led to this event. */
  cause: string | null;
  /** The event's JSON: the line of the feed, or for a page of history the serialized value. */
  raw: string;
}

/** An event of a type that this version of the page knows. */
export type KnownEvent = {
  [T in EventType]: Envelope & { known: true; type: T; data: EventData[T] };
}[EventType];

/** An event of a type that a newer version of the server added. */
export type UnknownEvent = Envelope & { known: false; type: string };

export type RecordedEvent = KnownEvent | UnknownEvent;

type Fields = Readonly<Record<string, unknown>>;

export function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function isEventType(text: string): text is EventType {
  return EVENT_TYPES.some((type) => type === text);
}

/** Parses one line of the feed. Returns null for anything but an event. */
export function parseLine(line: string): RecordedEvent | null {
  try {
    return parse(JSON.parse(line), line);
  } catch {
    return null;
  }
}

/** Parses an event of a page of history. */
export function parseEvent(value: unknown): RecordedEvent | null {
  return parse(value, JSON.stringify(value));
}

function parse(value: unknown, raw: string): RecordedEvent | null {
  if (!isFields(value)) return null;
  const { id, subject, time, type, channel, causationid, approximate, data } = value;
  if (typeof id !== "string" || typeof subject !== "string") return null;
  if (typeof time !== "string" || typeof type !== "string") return null;
  const envelope: Envelope = {
    id,
    subject,
    time,
    approximate: approximate === true,
    channel: typeof channel === "string" ? channel : "",
    cause: typeof causationid === "string" ? causationid : null,
    raw,
  };
  if (!isEventType(type) || !isDataOf(type, data)) return { ...envelope, known: false, type };
  // The checks above cover the type and every field that the page relies on.
  return { ...envelope, known: true, type, data } as KnownEvent;
}

/** Whether the data has the fields that all events about a user, or about a group, have. */
function isDataOf(type: EventType, data: unknown): boolean {
  if (!isFields(data) || !isFields(data.trigger)) return false;
  if (type.startsWith("group-")) return isFields(data.group) && typeof data.group.name === "string";
  if (!isFields(data.user) || typeof data.user.pk !== "number") return false;
  return type === "user-erased" || typeof data.user.username === "string";
}

/** The key of the user in an event's subject. */
export function userOf(event: RecordedEvent): number | null {
  const [kind, key] = event.subject.split("/");
  return kind === "user" && key ? Number(key) : null;
}

/** The UUID of the group in an event's subject, or of the group that the user joined or left. */
export function groupOf(event: RecordedEvent): string | null {
  const [kind, key] = event.subject.split("/");
  if (kind === "group") return key ?? null;
  return event.known && (event.type === "user-joined-group" || event.type === "user-left-group")
    ? event.data.group.uuid
    : null;
}

/** The key of the user whose action triggered the event. */
export function actorOf(event: KnownEvent): number | null {
  return event.data.trigger.actor?.pk ?? null;
}

/** The fields that an update changed; empty for other events. */
export function changesOf(event: RecordedEvent): [field: string, change: { from: unknown; to: unknown }][] {
  if (!event.known) return [];
  return event.type === "user-updated" || event.type === "group-updated"
    ? Object.entries(event.data.changes)
    : [];
}
