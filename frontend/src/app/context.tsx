import type { QueryClient } from "@tanstack/react-query";
import { createContext, useContext } from "react";
import type { Api } from "../api/client.ts";
import type { Session } from "../auth/session.ts";
import type { Config } from "../config.ts";
import type { FeedStore } from "../feed/store.ts";
import type { NameCache } from "./name-cache.ts";

/** The services that every page can use. */
export interface App {
  config: Config;
  session: Session;
  api: Api;
  feed: FeedStore;
  names: NameCache;
  queries: QueryClient;
}

export const AppContext = createContext<App | null>(null);

export function useApp(): App {
  const app = useContext(AppContext);
  if (!app) throw new Error("wrap this component in an AppContext");
  return app;
}

/** Shared through a context because every sentence of the feed reads it. */
export const IsAdminContext = createContext(false);

/** Whether the caller may see all events. False until the API has answered. */
export function useIsAdmin(): boolean {
  return useContext(IsAdminContext);
}
