import { Badge, type MantineColor } from "@mantine/core";
import { type EventType, isEventType } from "../event/event.ts";
import { unreachable } from "../unreachable.ts";

/** The type of an event, in a colour that shows how much attention it needs. */
export function EventBadge({ type }: { type: string }) {
  return (
    <Badge variant="light" color={isEventType(type) ? colorOf(type) : "gray"} size="sm" radius="sm" tt="none">
      {type}
    </Badge>
  );
}

function colorOf(type: EventType): MantineColor {
  switch (type) {
    case "user-registered":
    case "user-reactivated":
    case "group-created":
      return "green";
    case "user-deactivated":
    case "user-deleted":
    case "user-erased":
    case "group-deleted":
    case "user-suspicious-request":
      return "red";
    case "user-login-failed":
    case "user-impersonation-started":
    case "user-impersonation-ended":
    case "user-password-changed":
      return "orange";
    case "user-updated":
    case "group-updated":
    case "user-joined-group":
    case "user-left-group":
      return "blue";
    case "user-logged-in":
    case "user-logged-out":
    case "user-authorized-application":
    case "user-linked-source":
      return "gray";
    default:
      return unreachable(type);
  }
}
