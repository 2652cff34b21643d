import { useQuery } from "@tanstack/react-query";
import { meQuery } from "../api/queries.ts";
import { useApp } from "../app/context.tsx";
import { Empty, Loading, PageTitle, ProblemAlert } from "../ui/messages.tsx";
import { Resync } from "../users/resync.tsx";
import { UserFacts } from "../users/user-facts.tsx";
import { UserTimeline } from "../users/user-page.tsx";

/** What is known about who is signed in. */
export function MePage() {
  const { api } = useApp();
  const me = useQuery(meQuery(api));
  if (me.isPending) return <Loading what="your account" />;
  if (me.data === undefined) return <ProblemAlert error={me.error} onRetry={() => void me.refetch()} />;
  if (!me.data) {
    return (
      <Empty title="You are not recorded yet">
        authentik is being asked about you; your account appears here in a moment.
      </Empty>
    );
  }
  return (
    <div className="page-filling">
      <PageTitle title="What is known about me">
        <Resync pk="me" />
      </PageTitle>
      <div className="columns">
        <UserFacts view={me.data} />
        <UserTimeline pk={me.data.pk} />
      </div>
    </div>
  );
}
