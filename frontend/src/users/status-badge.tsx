import { Badge, type MantineColor } from "@mantine/core";
import type { Schemas } from "../api/client.ts";
import { unreachable } from "../unreachable.ts";

type UserStatus = Schemas["UserStatus"];

export function StatusBadge({ status }: { status: UserStatus }) {
  return (
    <Badge variant="light" color={colorOf(status)} size="sm" radius="sm" tt="none">
      {status}
    </Badge>
  );
}

function colorOf(status: UserStatus): MantineColor {
  switch (status) {
    case "active":
      return "green";
    case "inactive":
      return "orange";
    case "deleted":
    case "erased":
      return "red";
    default:
      return unreachable(status);
  }
}
