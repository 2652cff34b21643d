import { Badge, Group, Table, Text } from "@mantine/core";
import type { ReactNode } from "react";
import type { Schemas } from "../api/client.ts";
import { useIsAdmin } from "../app/context.tsx";
import { dateTime, exactTime, valueText } from "../ui/format.ts";
import { GroupLink } from "../ui/links.tsx";
import { StatusBadge } from "./status-badge.tsx";

type User = Schemas["User"];

/** The current recorded state of a user. */
export function UserProperties({ view }: { view: Schemas["UserView"] }) {
  const { user } = view;
  return (
    <Table withTableBorder verticalSpacing={4} fz="sm" aria-label="Current state">
      <Table.Tbody>
        <PropertyRow name="Status">
          <StatusBadge status={view.status} />
        </PropertyRow>
        <PropertyRow name="Key">{view.pk}</PropertyRow>
        {user && <UserRows user={user} />}
        <TimeRow name="Registered" time={view.registered} />
        <TimeRow name="Last event" time={view.last_event} />
      </Table.Tbody>
    </Table>
  );
}

function UserRows({ user }: { user: User }) {
  return (
    <>
      <PropertyRow name="Username">{user.username || <NoValue />}</PropertyRow>
      <PropertyRow name="Name">{user.name || <NoValue />}</PropertyRow>
      <PropertyRow name="E-mail">{user.email || <NoValue />}</PropertyRow>
      <PropertyRow name="Type">{user.type || <NoValue />}</PropertyRow>
      <PropertyRow name="Path">{user.path || <NoValue />}</PropertyRow>
      <PropertyRow name="Superuser">{user.is_superuser ? "yes" : "no"}</PropertyRow>
      <PropertyRow name="Groups">
        <GroupNames user={user} />
      </PropertyRow>
      {Object.entries(user.attributes ?? {}).map(([name, value]) => (
        <PropertyRow key={name} name={name}>
          {valueText(value)}
        </PropertyRow>
      ))}
      <TimeRow name="Joined" time={user.date_joined} />
      <TimeRow name="Last login" time={user.last_login} />
      <TimeRow name="Password changed" time={user.password_change_date} />
    </>
  );
}

export function GroupNames({ user }: { user: User }) {
  const isAdmin = useIsAdmin();
  if (user.groups.length === 0) return <NoValue />;
  return (
    <Group gap={4}>
      {user.groups.map((uuid) => {
        const name = user.group_names?.[uuid] ?? uuid.slice(0, 8);
        return isAdmin ? (
          <GroupLink key={uuid} uuid={uuid} size="sm">
            {name}
          </GroupLink>
        ) : (
          <Badge key={uuid} variant="default" size="sm" radius="sm" tt="none">
            {name}
          </Badge>
        );
      })}
    </Group>
  );
}

export function PropertyRow({ name, children }: { name: string; children: ReactNode }) {
  return (
    <Table.Tr>
      <Table.Th scope="row" w="9rem">
        {name}
      </Table.Th>
      <Table.Td className="breaking">{children}</Table.Td>
    </Table.Tr>
  );
}

export function TimeRow({ name, time }: { name: string; time: string | null | undefined }) {
  return (
    <PropertyRow name={name}>
      {time ? (
        <time dateTime={time} title={exactTime(time)}>
          {dateTime(time)}
        </time>
      ) : (
        <NoValue />
      )}
    </PropertyRow>
  );
}

function NoValue() {
  return (
    <Text span inherit c="dimmed">
      –
    </Text>
  );
}
