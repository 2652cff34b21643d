import { Anchor, Badge, Group, Table, Text } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import type { Schemas } from "../api/client.ts";
import { useIsAdmin } from "../app/context.tsx";
import { dateTime, exactTime, valueText } from "../ui/format.ts";
import { StatusBadge } from "./status-badge.tsx";

type User = Schemas["User"];

/** What is recorded of a user now. */
export function UserFacts({ view }: { view: Schemas["UserView"] }) {
  const { user } = view;
  return (
    <Table withTableBorder verticalSpacing={4} fz="sm" aria-label="Current state" className="facts">
      <Table.Tbody>
        <Fact name="Status">
          <StatusBadge status={view.status} />
        </Fact>
        <Fact name="Key">{view.pk}</Fact>
        {user && <UserRows user={user} />}
        <Moment name="Registered" time={view.registered} />
        <Moment name="Last event" time={view.last_event} />
      </Table.Tbody>
    </Table>
  );
}

function UserRows({ user }: { user: User }) {
  return (
    <>
      <Fact name="Username">{user.username || <Nothing />}</Fact>
      <Fact name="Name">{user.name || <Nothing />}</Fact>
      <Fact name="E-mail">{user.email || <Nothing />}</Fact>
      <Fact name="Type">{user.type || <Nothing />}</Fact>
      <Fact name="Path">{user.path || <Nothing />}</Fact>
      <Fact name="Superuser">{user.is_superuser ? "yes" : "no"}</Fact>
      <Fact name="Groups">
        <GroupNames user={user} />
      </Fact>
      {Object.entries(user.attributes ?? {}).map(([name, value]) => (
        <Fact key={name} name={name}>
          {valueText(value)}
        </Fact>
      ))}
      <Moment name="Joined" time={user.date_joined} />
      <Moment name="Last login" time={user.last_login} />
      <Moment name="Password changed" time={user.password_change_date} />
    </>
  );
}

export function GroupNames({ user }: { user: User }) {
  const isAdmin = useIsAdmin();
  if (user.groups.length === 0) return <Nothing />;
  return (
    <Group gap={4}>
      {user.groups.map((uuid) => {
        const name = user.group_names?.[uuid] ?? uuid.slice(0, 8);
        return isAdmin ? (
          <Anchor
            key={uuid}
            size="sm"
            renderRoot={(props) => <Link {...props} to="/groups/$uuid" params={{ uuid }} />}
          >
            {name}
          </Anchor>
        ) : (
          <Badge key={uuid} variant="default" size="sm" radius="sm" tt="none">
            {name}
          </Badge>
        );
      })}
    </Group>
  );
}

export function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <Table.Tr>
      <Table.Th scope="row" w="9rem">
        {name}
      </Table.Th>
      <Table.Td className="breaking">{children}</Table.Td>
    </Table.Tr>
  );
}

export function Moment({ name, time }: { name: string; time: string | null | undefined }) {
  return (
    <Fact name={name}>
      {time ? (
        <time dateTime={time} title={exactTime(time)}>
          {dateTime(time)}
        </time>
      ) : (
        <Nothing />
      )}
    </Fact>
  );
}

function Nothing() {
  return (
    <Text span inherit c="dimmed">
      –
    </Text>
  );
}
