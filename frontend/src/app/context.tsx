import type { QueryClient } from "@tanstack/react-query";
import { createContext, useContext } from "react";
import type { Api } from "../api/client.ts";
import type { Session } from "../auth/session.ts";
import type { Config } from "../config.ts";
import type { FeedStore } from "../feed/store.ts";
import type { NameBook } from "./names.ts";

/** What every page may use. */
export interface App {
  config: Config;
  session: Session;
  api: Api;
  feed: FeedStore;
  names: NameBook;
  queries: QueryClient;
}

export const AppContext = createContext<App | null>(null);

export function useApp(): App {
  const app = useContext(AppContext);
  if (!app) throw new Error("there is no app around this component");
  return app;
}

/** Told once for all: each sentence of the feed asks. */
export const IsAdminContext = createContext(false);

/** Whether the caller may see everything. False until that is known. */
export function useIsAdmin(): boolean {
  return useContext(IsAdminContext);
}
