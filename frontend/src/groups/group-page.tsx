import { Badge, Button, Group, Stack, Table, Text } from "@mantine/core";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import type { Schemas } from "../api/client.ts";
import { groupEventsQuery, groupQuery, usersQuery } from "../api/queries.ts";
import { useApp } from "../app/context.tsx";
import { GroupLink, UserLink } from "../ui/links.tsx";
import { Loading, PageTitle, ProblemAlert } from "../ui/messages.tsx";
import { SubjectTimeline } from "../ui/timeline-view.tsx";
import { PropertyRow, TimeRow } from "../users/user-properties.tsx";

export function GroupPage() {
  const { uuid } = useParams({ from: "/groups/$uuid" });
  return <GroupContent key={uuid} uuid={uuid} />;
}

function GroupContent({ uuid }: { uuid: string }) {
  const { api } = useApp();
  const view = useQuery(groupQuery(api, uuid));
  if (view.isPending) return <Loading what="the group" />;
  if (view.error) return <ProblemAlert error={view.error} onRetry={() => void view.refetch()} />;
  const { group } = view.data;
  return (
    <div className="page-filling">
      <PageTitle title={group?.name ?? `Group ${uuid.slice(0, 8)}`} />
      <div className="columns">
        <Stack gap="md">
          <GroupProperties view={view.data} />
          <Members uuid={uuid} />
        </Stack>
        <GroupTimeline uuid={uuid} />
      </div>
    </div>
  );
}

function GroupProperties({ view }: { view: Schemas["GroupView"] }) {
  const { group } = view;
  return (
    <Table withTableBorder verticalSpacing={4} fz="sm" aria-label="Current state">
      <Table.Tbody>
        <PropertyRow name="Status">
          <Badge variant="light" color={view.deleted ? "red" : "green"} size="sm" radius="sm" tt="none">
            {view.deleted ? "deleted" : "present"}
          </Badge>
        </PropertyRow>
        <PropertyRow name="UUID">{view.uuid}</PropertyRow>
        <PropertyRow name="Superuser">{group?.is_superuser ? "yes" : "no"}</PropertyRow>
        <PropertyRow name="Members">{view.n_members}</PropertyRow>
        <PropertyRow name="Parents">
          <Parents uuids={group?.parents ?? []} />
        </PropertyRow>
        <TimeRow name="Last event" time={view.last_event} />
      </Table.Tbody>
    </Table>
  );
}

function Parents({ uuids }: { uuids: readonly string[] }) {
  return uuids.length === 0 ? "–" : uuids.map((uuid) => <Parent key={uuid} uuid={uuid} />);
}

function Parent({ uuid }: { uuid: string }) {
  const { api } = useApp();
  const { data } = useQuery(groupQuery(api, uuid));
  return (
    <GroupLink uuid={uuid} size="sm" mr={6}>
      {data?.group?.name ?? uuid.slice(0, 8)}
    </GroupLink>
  );
}

/** The direct members. */
function Members({ uuid }: { uuid: string }) {
  const { api } = useApp();
  const found = useInfiniteQuery(usersQuery(api, { group: uuid }));
  const users = found.data?.pages.flatMap((page) => page.users) ?? [];
  return (
    <Stack gap={4}>
      <Text fw={600} size="sm" component="h2">
        Members
      </Text>
      {found.error && <ProblemAlert error={found.error} onRetry={() => void found.refetch()} />}
      {found.data && users.length === 0 && (
        <Text size="sm" c="dimmed">
          No direct members. Add members in authentik.
        </Text>
      )}
      <Group gap="xs" component="ul" className="plain-list">
        {users.map(({ pk, user }) => (
          <li key={pk}>
            <UserLink pk={pk} size="sm">
              {user?.name || user?.username || `user ${pk}`}
            </UserLink>
          </li>
        ))}
      </Group>
      {found.hasNextPage && (
        <Button
          size="xs"
          variant="default"
          loading={found.isFetching}
          onClick={() => void found.fetchNextPage()}
        >
          Load more members
        </Button>
      )}
    </Stack>
  );
}

function GroupTimeline({ uuid }: { uuid: string }) {
  const { api } = useApp();
  const history = useInfiniteQuery(groupEventsQuery(api));
  const label = "Events of this group, newest first";
  return <SubjectTimeline history={history} subject={{ group: uuid }} label={label} />;
}
