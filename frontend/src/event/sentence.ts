import { actorOf, changesOf, type KnownEvent, type RecordedEvent, userOf } from "./event.ts";
import type { EventData } from "./types.gen.ts";

/** A piece of a sentence: words, or somebody or something that has a page. */
export type Part =
  | { kind: "text"; text: string }
  | { kind: "user"; pk: number; name: string }
  | { kind: "group"; uuid: string; name: string };

/** What a user is called by those who know only the key. */
export type NameOf = (pk: number) => string | null;

type UserData = EventData["user-updated"]["user"];

const text = (words: string): Part => ({ kind: "text", text: words });

/** What happened, to whom, and by whom: one sentence without the time. */
export function sentence(event: RecordedEvent, nameOf: NameOf): Part[] {
  if (!event.known) return [text(`${event.subject}: ${event.type}, which this page does not know yet`)];
  return [...what(event, nameOf), ...by(event, nameOf)];
}

/** The sentence as plain text. */
export function plain(parts: readonly Part[]): string {
  return parts.map((part) => (part.kind === "text" ? part.text : part.name)).join("");
}

function user({ pk, name, username }: Pick<UserData, "pk" | "name" | "username">): Part {
  return { kind: "user", pk, name: name || username || `user ${pk}` };
}

function somebody(pk: number, nameOf: NameOf): Part {
  return { kind: "user", pk, name: nameOf(pk) ?? `user ${pk}` };
}

function group({ uuid, name }: { uuid: string; name: string }): Part {
  return { kind: "group", uuid, name: name || `group ${uuid.slice(0, 8)}` };
}

function what(event: KnownEvent, nameOf: NameOf): Part[] {
  switch (event.type) {
    case "user-registered":
      return registered(event.data);
    case "user-updated":
      return [user(event.data.user), text(` changed: ${fields(event)}`)];
    case "user-deactivated":
      return [user(event.data.user), text(" was deactivated")];
    case "user-reactivated":
      return [user(event.data.user), text(" was reactivated")];
    case "user-deleted":
      return [user(event.data.user), text(" was deleted")];
    case "user-erased":
      return [text("Everything recorded of "), somebody(event.data.user.pk, () => null), text(" was erased")];
    case "user-joined-group":
      return [user(event.data.user), text(" joined "), group(event.data.group)];
    case "user-left-group":
      return [user(event.data.user), text(" left "), group(event.data.group)];
    case "user-password-changed":
      return [user(event.data.user), text(" got a new password")];
    case "user-logged-in":
      return [user(event.data.user), text(` signed in${from(event.data)}`)];
    case "user-login-failed":
      return [text("Somebody failed to sign in as "), user(event.data.user), text(from(event.data))];
    case "user-logged-out":
      return [user(event.data.user), text(` signed out${from(event.data)}`)];
    case "user-authorized-application":
      return [user(event.data.user), text(` opened ${event.data.application?.name ?? "an application"}`)];
    case "user-linked-source":
      return [user(event.data.user), text(` linked ${event.data.source?.name ?? "a source"}`)];
    case "user-suspicious-request":
      return [user(event.data.user), text(` made a suspicious request${from(event.data)}`)];
    case "user-impersonation-started":
      return [user(event.data.user), text(" began to act as "), target(event.data, nameOf)];
    case "user-impersonation-ended":
      return [user(event.data.user), text(" ceased to act as "), target(event.data, nameOf)];
    case "group-created":
      return [
        text("Group "),
        group(event.data.group),
        text(isFound(event.data) ? " was found in authentik" : " was created"),
      ];
    case "group-updated":
      return [text("Group "), group(event.data.group), text(` changed: ${fields(event)}`)];
    case "group-deleted":
      return [text("Group "), group(event.data.group), text(" was deleted")];
    default:
      return unreachable(event);
  }
}

function registered(data: EventData["user-registered"]): Part[] {
  if (data.partial) return [user(data.user), text(" registered, and was gone before they could be read")];
  return [user(data.user), text(isFound(data) ? " was found in authentik" : " registered")];
}

/** Whether it was there before anybody told of it. */
function isFound({ trigger }: { trigger: { action: string } }): boolean {
  return trigger.action === "sweep";
}

function fields(event: KnownEvent): string {
  const names = changesOf(event).map(([field]) => field.replaceAll("_", " "));
  return names.join(", ") || "nothing that is shown";
}

function from({ client_ip }: { client_ip?: string | null }): string {
  return client_ip ? ` from ${client_ip}` : "";
}

function target(data: EventData["user-impersonation-started"], nameOf: NameOf): Part {
  return data.target ? somebody(data.target.pk, nameOf) : text("somebody else");
}

/** Who made the difference known, where it was not the user whom it is about. */
function by(event: KnownEvent, nameOf: NameOf): Part[] {
  const actor = actorOf(event);
  if (event.data.trigger.action === "resync") {
    return actor === null
      ? [text(", seen on request")]
      : [text(", seen on request of "), somebody(actor, nameOf)];
  }
  if (actor !== null && actor !== userOf(event)) return [text(", by "), somebody(actor, nameOf)];
  const saysItself = event.type === "user-registered" || event.type === "group-created";
  if (event.channel === "sweep" && !saysItself) return [text(", found by comparison")];
  return [];
}

function unreachable(event: never): never {
  throw new Error(`an event without a sentence: ${JSON.stringify(event)}`);
}
