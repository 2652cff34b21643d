import { createRootRoute, createRoute, createRouter, lazyRouteComponent } from "@tanstack/react-router";
import { parseActivitySearch } from "../activity/search.ts";
import { FeedPage } from "../feed/feed-page.tsx";
import { parseSearch } from "../feed/filter.ts";
import { Empty, ProblemAlert } from "../ui/messages.tsx";
import { parseUsersSearch } from "../users/search.ts";
import { Shell } from "./shell.tsx";

const root = createRootRoute({
  component: Shell,
  notFoundComponent: () => <Empty title="Page not found">Choose a page in the menu.</Empty>,
  errorComponent: ({ error, reset }) => <ProblemAlert error={error} onRetry={reset} />,
});

const feed = createRoute({
  getParentRoute: () => root,
  path: "/",
  validateSearch: parseSearch,
  component: FeedPage,
});

const users = createRoute({
  getParentRoute: () => root,
  path: "/users",
  validateSearch: parseUsersSearch,
  component: lazyRouteComponent(() => import("../users/users-page.tsx"), "UsersPage"),
});

const user = createRoute({
  getParentRoute: () => root,
  path: "/users/$pk",
  component: lazyRouteComponent(() => import("../users/user-page.tsx"), "UserPage"),
});

const groups = createRoute({
  getParentRoute: () => root,
  path: "/groups",
  component: lazyRouteComponent(() => import("../groups/groups-page.tsx"), "GroupsPage"),
});

const group = createRoute({
  getParentRoute: () => root,
  path: "/groups/$uuid",
  component: lazyRouteComponent(() => import("../groups/group-page.tsx"), "GroupPage"),
});

const activity = createRoute({
  getParentRoute: () => root,
  path: "/activity",
  validateSearch: parseActivitySearch,
  component: lazyRouteComponent(() => import("../activity/activity-page.tsx"), "ActivityPage"),
});

const me = createRoute({
  getParentRoute: () => root,
  path: "/me",
  component: lazyRouteComponent(() => import("../me/me-page.tsx"), "MePage"),
});

const operations = createRoute({
  getParentRoute: () => root,
  path: "/operations",
  component: lazyRouteComponent(() => import("../operations/operations-page.tsx"), "OperationsPage"),
});

const routeTree = root.addChildren([feed, users, user, groups, group, activity, me, operations]);

export function createAppRouter() {
  return createRouter({ routeTree, scrollRestoration: false, defaultPreload: "intent" });
}

declare module "@tanstack/react-router" {
  interface Register {
    router: ReturnType<typeof createAppRouter>;
  }
}
