import { EVENT_TYPES, type EventData } from "./types.gen.ts";

export type EventType = keyof EventData;

interface Envelope {
  id: string;
  /** `user/42` or `group/<uuid>`. */
  subject: string;
  time: string;
  /** True where the time is the one of detection. */
  approximate: boolean;
  channel: string;
  /** Delivery, or run of the sweep, that made the bridge look. */
  cause: string | null;
  /** The line as it was sent, or as close to it as a page of history allows. */
  raw: string;
}

/** An event of a type that is in the catalogue. */
export type KnownEvent = {
  [T in EventType]: Envelope & { known: true; type: T; data: EventData[T] };
}[EventType];

/** An event of a type that only a newer version of the bridge knows. */
export type UnknownEvent = Envelope & { known: false; type: string };

export type RecordedEvent = KnownEvent | UnknownEvent;

type Fields = Readonly<Record<string, unknown>>;

export function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function isEventType(text: string): text is EventType {
  return EVENT_TYPES.some((type) => type === text);
}

/** Reads one line of the feed. Nothing where it is not an event at all. */
export function parseLine(line: string): RecordedEvent | null {
  try {
    return parse(JSON.parse(line), line);
  } catch {
    return null;
  }
}

/** Reads an event that came as part of a page of history. */
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
  // The type and the members that all code here relies on were just checked.
  return { ...envelope, known: true, type, data } as KnownEvent;
}

/** Whether the data has what every event about a user, or about a group, has. */
function isDataOf(type: EventType, data: unknown): boolean {
  if (!isFields(data) || !isFields(data.trigger)) return false;
  if (type.startsWith("group-")) return isFields(data.group) && typeof data.group.name === "string";
  if (!isFields(data.user) || typeof data.user.pk !== "number") return false;
  return type === "user-erased" || typeof data.user.username === "string";
}

/** The user whom an event is about, by key. */
export function userOf(event: RecordedEvent): number | null {
  const [kind, key] = event.subject.split("/");
  return kind === "user" && key ? Number(key) : null;
}

/** The group that an event is about, or that its user joined or left. */
export function groupOf(event: RecordedEvent): string | null {
  const [kind, key] = event.subject.split("/");
  if (kind === "group") return key ?? null;
  return event.known && (event.type === "user-joined-group" || event.type === "user-left-group")
    ? event.data.group.uuid
    : null;
}

/** Who made the bridge look, by key. */
export function actorOf(event: KnownEvent): number | null {
  return event.data.trigger.actor?.pk ?? null;
}

/** Which fields an update changed. */
export function changesOf(event: RecordedEvent): [field: string, change: { from: unknown; to: unknown }][] {
  if (!event.known) return [];
  return event.type === "user-updated" || event.type === "group-updated"
    ? Object.entries(event.data.changes)
    : [];
}
