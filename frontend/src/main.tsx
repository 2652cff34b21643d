import "@mantine/core/styles.css";
import "./style.css";
import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { AuthProvider, hasAuthParams } from "react-oidc-context";
import { createApi } from "./api/client.ts";
import { asProblem } from "./api/problem.ts";
import { type App, AppContext } from "./app/context.tsx";
import { NameCache } from "./app/name-cache.ts";
import { Root } from "./app/root.tsx";
import { readableColors, theme } from "./app/theme.ts";
import { returnPath, Session } from "./auth/session.ts";
import { loadConfig } from "./config.ts";
import { FeedStore } from "./feed/store.ts";
import { ProblemAlert } from "./ui/messages.tsx";

const MAX_RETRIES = 3;

const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 5_000,
      retry: (nFailures, error) => asProblem(error).isTransient && nFailures < MAX_RETRIES,
    },
  },
});

async function start(): Promise<App> {
  const config = await loadConfig();
  // authentik also returns to this path after a sign-out, without a code.
  if (location.pathname === config.redirectPath && !hasAuthParams()) history.replaceState(null, "", "/");
  const session = new Session(config);
  await session.restore();
  return { config, session, api: createApi(session), feed: new FeedStore(), names: new NameCache(), queries };
}

const element = document.getElementById("root");
if (!element) throw new Error("index.html lacks the element with the id root");
const root = createRoot(element);

function Page({ app }: { app: App }) {
  const returnToPage = (user: { state?: unknown } | undefined) =>
    history.replaceState(null, "", returnPath(user?.state));
  return (
    <QueryClientProvider client={queries}>
      <AppContext value={app}>
        <AuthProvider userManager={app.session.manager} onSigninCallback={returnToPage}>
          <Root />
        </AuthProvider>
      </AppContext>
    </QueryClientProvider>
  );
}

const content = await start().then(
  (app) => <Page app={app} />,
  (error: unknown) => <ProblemAlert error={error} onRetry={() => location.reload()} />,
);
root.render(
  <StrictMode>
    <MantineProvider theme={theme} cssVariablesResolver={readableColors} defaultColorScheme="auto">
      {content}
    </MantineProvider>
  </StrictMode>,
);
