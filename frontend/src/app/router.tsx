import {
  createRootRoute,
  createRoute,
  createRouter,
  lazyRouteComponent,
  type RouteComponent,
} from "@tanstack/react-router";
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

const activity = createRoute({
  getParentRoute: () => root,
  path: "/activity",
  validateSearch: parseActivitySearch,
  component: lazyRouteComponent(() => import("../activity/activity-page.tsx"), "ActivityPage"),
});

function page<const Path extends string, Name extends string>(
  path: Path,
  load: () => Promise<Record<Name, RouteComponent>>,
  name: Name,
) {
  const component = lazyRouteComponent(async () => ({ default: (await load())[name] }));
  return createRoute({ getParentRoute: () => root, path, component });
}

const routeTree = root.addChildren([
  feed,
  users,
  page("/users/$pk", () => import("../users/user-page.tsx"), "UserPage"),
  page("/groups", () => import("../groups/groups-page.tsx"), "GroupsPage"),
  page("/groups/$uuid", () => import("../groups/group-page.tsx"), "GroupPage"),
  activity,
  page("/me", () => import("../me/me-page.tsx"), "MePage"),
  page("/operations", () => import("../operations/operations-page.tsx"), "OperationsPage"),
]);

export function createAppRouter() {
  return createRouter({ routeTree, scrollRestoration: false, defaultPreload: "intent" });
}

declare module "@tanstack/react-router" {
  interface Register {
    router: ReturnType<typeof createAppRouter>;
  }
}
