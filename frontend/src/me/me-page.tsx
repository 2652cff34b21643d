import { useQuery } from "@tanstack/react-query";
import { meQuery } from "../api/queries.ts";
import { useApp } from "../app/context.tsx";
import { Empty, Loading, PageTitle, ProblemAlert } from "../ui/messages.tsx";
import { Resync } from "../users/resync.tsx";
import { UserTimeline } from "../users/user-page.tsx";
import { UserProperties } from "../users/user-properties.tsx";

/** The recorded state and events of the signed-in user. */
export function MePage() {
  const { api } = useApp();
  const me = useQuery(meQuery(api));
  if (me.isPending) return <Loading what="your account" />;
  if (me.data === undefined) return <ProblemAlert error={me.error} onRetry={() => void me.refetch()} />;
  if (!me.data) {
    return (
      <Empty title="You are not recorded yet">
        Your account is being loaded from authentik and appears here shortly.
      </Empty>
    );
  }
  return (
    <div className="page-filling">
      <PageTitle title="My account">
        <Resync pk="me" />
      </PageTitle>
      <div className="columns">
        <UserProperties view={me.data} />
        <UserTimeline pk={me.data.pk} />
      </div>
    </div>
  );
}
