import { unreachable } from "../unreachable.ts";
import { actorOf, changesOf, type KnownEvent, type RecordedEvent, userOf } from "./event.ts";
import type { EventData } from "./types.gen.ts";

/** A part of a sentence: text, or a user or group that has a page. */
export type Part =
  | { kind: "text"; text: string }
  | { kind: "user"; pk: number; name: string }
  | { kind: "group"; uuid: string; name: string };

/** Looks up the name of a user; null if it is unknown. */
export type NameOf = (pk: number) => string | null;

type UserData = EventData["user-updated"]["user"];

const text = (words: string): Part => ({ kind: "text", text: words });

/** Describes an event in one sentence, without its time. */
export function sentence(event: RecordedEvent, nameOf: NameOf): Part[] {
  if (!event.known)
    return [text(`${event.subject}: ${event.type} (unknown type; reload to update this page)`)];
  return [...change(event, nameOf), ...attribution(event, nameOf)];
}

/** The sentence as plain text. */
export function plainText(parts: readonly Part[]): string {
  return parts.map((part) => (part.kind === "text" ? part.text : part.name)).join("");
}

function user({ pk, name, username }: Pick<UserData, "pk" | "name" | "username">): Part {
  return { kind: "user", pk, name: name || username || `user ${pk}` };
}

function userByKey(pk: number, nameOf: NameOf): Part {
  return { kind: "user", pk, name: nameOf(pk) ?? `user ${pk}` };
}

function group({ uuid, name }: { uuid: string; name: string }): Part {
  return { kind: "group", uuid, name: name || `group ${uuid.slice(0, 8)}` };
}

function change(event: KnownEvent, nameOf: NameOf): Part[] {
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
      return [text("All records of "), userByKey(event.data.user.pk, () => null), text(" were erased")];
    case "user-joined-group":
      return [user(event.data.user), text(" joined "), group(event.data.group)];
    case "user-left-group":
      return [user(event.data.user), text(" left "), group(event.data.group)];
    case "user-password-changed":
      return [text("The password of "), user(event.data.user), text(" was changed")];
    case "user-logged-in":
      return [user(event.data.user), text(` signed in${from(event.data)}`)];
    case "user-login-failed":
      return [text("Failed sign-in as "), user(event.data.user), text(from(event.data))];
    case "user-logged-out":
      return [user(event.data.user), text(` signed out${from(event.data)}`)];
    case "user-authorized-application":
      return [user(event.data.user), text(` opened ${event.data.application?.name ?? "an application"}`)];
    case "user-linked-source":
      return [user(event.data.user), text(` linked ${event.data.source?.name ?? "a source"}`)];
    case "user-suspicious-request":
      return [user(event.data.user), text(` made a suspicious request${from(event.data)}`)];
    case "user-impersonation-started":
      return [user(event.data.user), text(" started impersonating "), target(event.data, nameOf)];
    case "user-impersonation-ended":
      return [user(event.data.user), text(" stopped impersonating "), target(event.data, nameOf)];
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
  if (data.partial)
    return [user(data.user), text(" registered, but was deleted before their details could be read")];
  return [user(data.user), text(isFound(data) ? " was found in authentik" : " registered")];
}

/** Whether reconciliation found the user or group, instead of a webhook. */
function isFound({ trigger }: { trigger: { action: string } }): boolean {
  return trigger.action === "sweep";
}

function fields(event: KnownEvent): string {
  const names = changesOf(event).map(([field]) => field.replaceAll("_", " "));
  return names.join(", ") || "no visible fields";
}

function from({ client_ip }: { client_ip?: string | null }): string {
  return client_ip ? ` from ${client_ip}` : "";
}

function target(data: EventData["user-impersonation-started"], nameOf: NameOf): Part {
  return data.target ? userByKey(data.target.pk, nameOf) : text("another user");
}

/** Who or what caused the event; empty if the user caused it themselves. */
function attribution(event: KnownEvent, nameOf: NameOf): Part[] {
  const actor = actorOf(event);
  if (event.data.trigger.action === "resync") {
    return actor === null
      ? [text(", found by a resync")]
      : [text(", resync requested by "), userByKey(actor, nameOf)];
  }
  if (actor !== null && actor !== userOf(event)) return [text(", by "), userByKey(actor, nameOf)];
  const isInSentence = event.type === "user-registered" || event.type === "group-created";
  if (event.channel === "sweep" && !isInSentence) return [text(", found by reconciliation")];
  return [];
}
