import { Anchor, Badge, Button, Group, Stack, Table, Text } from "@mantine/core";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import type { Schemas } from "../api/client.ts";
import { groupEventsQuery, groupQuery, usersQuery } from "../api/queries.ts";
import { useApp } from "../app/context.tsx";
import { useTimeline } from "../feed/timeline.ts";
import { Loading, PageTitle, ProblemAlert } from "../ui/messages.tsx";
import { TimelineView } from "../ui/timeline-view.tsx";
import { Fact, Moment } from "../users/user-facts.tsx";

export function GroupPage() {
  const { uuid } = useParams({ from: "/groups/$uuid" });
  return <KnownGroup key={uuid} uuid={uuid} />;
}

function KnownGroup({ uuid }: { uuid: string }) {
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
          <GroupFacts view={view.data} />
          <Members uuid={uuid} />
        </Stack>
        <GroupTimeline uuid={uuid} />
      </div>
    </div>
  );
}

function GroupFacts({ view }: { view: Schemas["GroupView"] }) {
  const { group } = view;
  return (
    <Table withTableBorder verticalSpacing={4} fz="sm" aria-label="Current state">
      <Table.Tbody>
        <Fact name="Status">
          <Badge variant="light" color={view.deleted ? "red" : "green"} size="sm" radius="sm" tt="none">
            {view.deleted ? "deleted" : "present"}
          </Badge>
        </Fact>
        <Fact name="UUID">{view.uuid}</Fact>
        <Fact name="Superuser">{group?.is_superuser ? "yes" : "no"}</Fact>
        <Fact name="Members">{view.n_members}</Fact>
        <Fact name="Parents">
          <Parents uuids={group?.parents ?? []} />
        </Fact>
        <Moment name="Last event" time={view.last_event} />
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
    <Anchor size="sm" mr={6} renderRoot={(props) => <Link {...props} to="/groups/$uuid" params={{ uuid }} />}>
      {data?.group?.name ?? uuid.slice(0, 8)}
    </Anchor>
  );
}

/** Direct members, as users are recorded. */
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
          Nobody is a direct member. Who joins in authentik appears here.
        </Text>
      )}
      <Group gap="xs" component="ul" className="plain-list">
        {users.map(({ pk, user }) => (
          <li key={pk}>
            <Anchor
              size="sm"
              renderRoot={(props) => <Link {...props} to="/users/$pk" params={{ pk: String(pk) }} />}
            >
              {user?.name || user?.username || `user ${pk}`}
            </Anchor>
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
          More members
        </Button>
      )}
    </Stack>
  );
}

function GroupTimeline({ uuid }: { uuid: string }) {
  const { api } = useApp();
  const history = useInfiniteQuery(groupEventsQuery(api));
  const timeline = useTimeline(history, { group: uuid });
  return (
    <Stack gap="xs" className="column-filling">
      {history.error && <ProblemAlert error={history.error} onRetry={() => void history.fetchNextPage()} />}
      <TimelineView timeline={timeline} label="Events of this group, newest first" />
    </Stack>
  );
}
