import { Stack } from "@mantine/core";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { userEventsQuery, userQuery } from "../api/queries.ts";
import { useApp, useIsAdmin } from "../app/context.tsx";
import { useTimeline } from "../feed/timeline.ts";
import { Empty, Loading, PageTitle, ProblemAlert } from "../ui/messages.tsx";
import { TimelineView } from "../ui/timeline-view.tsx";
import { Resync } from "./resync.tsx";
import { UserFacts } from "./user-facts.tsx";

export function UserPage() {
  const { pk } = useParams({ from: "/users/$pk" });
  const key = Number(pk);
  if (!Number.isSafeInteger(key))
    return <Empty title="There is no such user">Users are named by a number.</Empty>;
  return <KnownUser key={key} pk={key} />;
}

function KnownUser({ pk }: { pk: number }) {
  const { api } = useApp();
  const isAdmin = useIsAdmin();
  const view = useQuery(userQuery(api, pk));
  if (view.isPending) return <Loading what="the user" />;
  if (!view.data) return <ProblemAlert error={view.error} onRetry={() => void view.refetch()} />;
  const { user } = view.data;
  return (
    <div className="page-filling">
      <PageTitle title={user?.name || user?.username || `User ${pk}`}>
        {isAdmin && <Resync pk={pk} />}
      </PageTitle>
      <div className="columns">
        <UserFacts view={view.data} />
        <UserTimeline pk={pk} />
      </div>
    </div>
  );
}

/** All that was recorded of a user, and what is being recorded. */
export function UserTimeline({ pk }: { pk: number }) {
  const { api } = useApp();
  const history = useInfiniteQuery(userEventsQuery(api, pk));
  const timeline = useTimeline(history, { user: pk });
  return (
    <Stack gap="xs" className="column-filling">
      {history.error && <ProblemAlert error={history.error} onRetry={() => void history.fetchNextPage()} />}
      <TimelineView timeline={timeline} label="Events of this user, newest first" />
    </Stack>
  );
}
