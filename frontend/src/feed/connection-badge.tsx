import { Badge, type MantineColor } from "@mantine/core";
import { useSyncExternalStore } from "react";
import { useApp } from "../app/context.tsx";
import type { Connection } from "./store.ts";

interface Look {
  color: MantineColor;
  text: string;
  detail: string;
}

/** How the feed stands with the server, in two words. */
export function ConnectionBadge() {
  const { feed } = useApp();
  const connection = useSyncExternalStore(feed.subscribe, () => feed.get().connection);
  const { color, text, detail } = lookOf(connection);
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

export function lookOf(connection: Connection): Look {
  switch (connection.state) {
    case "connecting":
      return { color: "gray", text: "connecting", detail: "The feed is being opened." };
    case "catching-up":
      return {
        color: "blue",
        text: "catching up",
        detail: "Events that were recorded earlier are being read.",
      };
    case "live":
      return { color: "green", text: "live", detail: "What is recorded appears at once." };
    case "reconnecting":
      return {
        color: "orange",
        text: "reconnecting",
        detail: `${connection.reason} Nothing will be missed.`,
      };
    case "ended":
      return { color: "red", text: "session ended", detail: connection.reason };
    case "revoked":
      return { color: "red", text: "access revoked", detail: connection.reason };
    default:
      return unreachable(connection);
  }
}

function unreachable(connection: never): never {
  throw new Error(`a state that nobody thought of: ${JSON.stringify(connection)}`);
}
