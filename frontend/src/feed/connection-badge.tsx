import { Badge, type MantineColor } from "@mantine/core";
import { useSyncExternalStore } from "react";
import { useApp } from "../app/context.tsx";
import { asSentence } from "../ui/format.ts";
import { unreachable } from "../unreachable.ts";
import type { Connection } from "./store.ts";

interface Description {
  color: MantineColor;
  text: string;
  detail: string;
}

/** The state of the connection to the feed, in one or two words. */
export function ConnectionBadge() {
  const { feed } = useApp();
  const connection = useSyncExternalStore(feed.subscribe, () => feed.get().connection);
  const { color, text, detail } = describeConnection(connection);
  return (
    <Badge
      role="status"
      variant="dot"
      color={color}
      radius="sm"
      tt="none"
      title={detail}
      aria-label={`Feed: ${text}`}
      className="connection"
    >
      {text}
    </Badge>
  );
}

export function describeConnection(connection: Connection): Description {
  switch (connection.state) {
    case "connecting":
      return { color: "gray", text: "connecting", detail: "Connecting to the feed." };
    case "catching-up":
      return { color: "blue", text: "catching up", detail: "Loading events that were recorded earlier." };
    case "live":
      return { color: "green", text: "live", detail: "New events appear as they are recorded." };
    case "reconnecting":
      return {
        color: "orange",
        text: "reconnecting",
        detail: `${asSentence(connection.reason)} Reconnecting; no events will be missed.`,
      };
    case "ended":
      return { color: "red", text: "session ended", detail: asSentence(connection.reason) };
    case "revoked":
      return { color: "red", text: "access revoked", detail: asSentence(connection.reason) };
    default:
      return unreachable(connection);
  }
}
