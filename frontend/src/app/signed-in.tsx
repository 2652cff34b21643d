import { useQuery } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import { useAuth } from "react-oidc-context";
import { meQuery } from "../api/queries.ts";
import { Welcome } from "../auth/welcome.tsx";
import { follow } from "../feed/follow.ts";
import { rememberPlace, worldOf } from "../feed/world.ts";
import { Loading } from "../ui/messages.tsx";
import { IsAdminContext, useApp } from "./context.tsx";
import { keepLive } from "./live.ts";
import { createAppRouter } from "./router.tsx";

/** The pages, for who is signed in; else the way in. */
export function Root() {
  const auth = useAuth();
  const { session } = useApp();
  if (session.isLeaving && !auth.user) return <Loading what="the way out" />;
  if (auth.isLoading && !auth.user) return <Loading what="your session" />;
  return auth.user ? <SignedIn key={auth.user.profile.sub} /> : <Welcome />;
}

function SignedIn() {
  const [router] = useState(createAppRouter);
  const { api } = useApp();
  const me = useQuery(meQuery(api)).data;
  useFeed(me?.pk, me?.is_admin);
  useForget();
  return (
    <IsAdminContext value={me?.is_admin ?? false}>
      <RouterProvider router={router} />
    </IsAdminContext>
  );
}

/** Follows the feed as long as somebody is signed in, whatever page they are on. */
function useFeed(pk: number | undefined, isAdmin: boolean | undefined) {
  const { session, api, feed, queries, names } = useApp();
  useEffect(() => {
    if (pk === undefined || isAdmin === undefined) return;
    const stopped = new AbortController();
    const stopLive = keepLive(feed, queries, names, pk);
    // What is kept was for who it was, with the rights that they had.
    feed.restart(feed.get().notice);
    const askAgain = () => void queries.invalidateQueries();
    const stopRemembering = rememberPlace(feed, pk);
    void follow(feed, worldOf(session, api, { pk, isAdmin }, askAgain), stopped.signal);
    return () => {
      stopped.abort();
      stopLive();
      stopRemembering();
    };
  }, [pk, isAdmin, session, api, feed, queries, names]);
}

/** What one person was shown is not for the next. */
function useForget() {
  const { feed, queries, names } = useApp();
  useEffect(
    () => () => {
      queries.clear();
      feed.restart(null);
      names.forget();
    },
    [feed, queries, names],
  );
}
