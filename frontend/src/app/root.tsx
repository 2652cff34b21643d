import { useQuery } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import { useAuth } from "react-oidc-context";
import { meQuery } from "../api/queries.ts";
import { Welcome } from "../auth/welcome.tsx";
import { browserEnvironment, rememberStart } from "../feed/environment.ts";
import { follow } from "../feed/follow.ts";
import { Loading } from "../ui/messages.tsx";
import { IsAdminContext, useApp } from "./context.tsx";
import { refreshOnEvents } from "./live.ts";
import { createAppRouter } from "./router.tsx";

/** The pages for a signed-in user, otherwise the welcome page. */
export function Root() {
  const auth = useAuth();
  const { session } = useApp();
  if (session.isSigningOut && !auth.user) return <Loading what="the sign-out page" />;
  if (auth.isLoading && !auth.user) return <Loading what="your session" />;
  return auth.user ? <SignedIn key={auth.user.profile.sub} /> : <Welcome />;
}

function SignedIn() {
  const [router] = useState(createAppRouter);
  const { api } = useApp();
  const me = useQuery(meQuery(api)).data;
  useFeed(me?.pk, me?.is_admin);
  useClearOnSignOut();
  return (
    <IsAdminContext value={me?.is_admin ?? false}>
      <RouterProvider router={router} />
    </IsAdminContext>
  );
}

/** Follows the feed on every page while the user is signed in. */
function useFeed(pk: number | undefined, isAdmin: boolean | undefined) {
  const { session, api, feed, queries, names } = useApp();
  useEffect(() => {
    if (pk === undefined || isAdmin === undefined) return;
    const stopped = new AbortController();
    const stopRefreshing = refreshOnEvents(feed, queries, names, pk);
    // The list belongs to the previous user, or to the same user with other permissions.
    feed.restartForViewer(feed.get().notice);
    const refetchAll = () => void queries.invalidateQueries();
    const stopRemembering = rememberStart(feed, pk);
    void follow(feed, browserEnvironment(session, api, { pk, isAdmin }, refetchAll), stopped.signal);
    return () => {
      stopped.abort();
      stopRefreshing();
      stopRemembering();
    };
  }, [pk, isAdmin, session, api, feed, queries, names]);
}

/** Removes all data of the signed-in user before another user signs in. */
function useClearOnSignOut() {
  const { feed, queries, names } = useApp();
  useEffect(
    () => () => {
      queries.clear();
      feed.restartForViewer(null);
      names.clear();
    },
    [feed, queries, names],
  );
}
