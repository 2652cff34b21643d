import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { userEventsQuery, userQuery } from "../api/queries.ts";
import { useApp, useIsAdmin } from "../app/context.tsx";
import { Empty, Loading, PageTitle, ProblemAlert } from "../ui/messages.tsx";
import { SubjectTimeline } from "../ui/timeline-view.tsx";
import { Resync } from "./resync.tsx";
import { UserProperties } from "./user-properties.tsx";

export function UserPage() {
  const { pk } = useParams({ from: "/users/$pk" });
  const key = Number(pk);
  if (!Number.isSafeInteger(key))
    return <Empty title="User not found">The address of a user ends with a number, such as /users/42.</Empty>;
  return <UserContent key={key} pk={key} />;
}

function UserContent({ pk }: { pk: number }) {
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
        <UserProperties view={view.data} />
        <UserTimeline pk={pk} />
      </div>
    </div>
  );
}

export function UserTimeline({ pk }: { pk: number }) {
  const { api } = useApp();
  const history = useInfiniteQuery(userEventsQuery(api, pk));
  return (
    <SubjectTimeline history={history} subject={{ user: pk }} label="Events of this user, newest first" />
  );
}
