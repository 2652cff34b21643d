import "@mantine/core/styles.css";
import "./style.css";
import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { AuthProvider } from "react-oidc-context";
import { createApi } from "./api/client.ts";
import { asProblem } from "./api/problem.ts";
import { type App, AppContext } from "./app/context.tsx";
import { NameBook } from "./app/names.ts";
import { Root } from "./app/signed-in.tsx";
import { legible, theme } from "./app/theme.ts";
import { returnPath, Session } from "./auth/session.ts";
import { loadConfig } from "./config.ts";
import { FeedStore } from "./feed/store.ts";
import { ProblemAlert } from "./ui/messages.tsx";

const MAX_RETRIES = 3;

const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 5_000,
      retry: (nFailures, error) => asProblem(error).isPassing && nFailures < MAX_RETRIES,
    },
  },
});

async function start(): Promise<App> {
  const config = await loadConfig();
  const session = new Session(config);
  await session.restore();
  return { config, session, api: createApi(session), feed: new FeedStore(), names: new NameBook(), queries };
}

const element = document.getElementById("root");
if (!element) throw new Error("index.html has no element for the page");
const root = createRoot(element);

function Page({ app }: { app: App }) {
  const goOn = (user: { state?: unknown } | undefined) =>
    history.replaceState(null, "", returnPath(user?.state));
  return (
    <QueryClientProvider client={queries}>
      <AppContext value={app}>
        <AuthProvider userManager={app.session.manager} onSigninCallback={goOn}>
          <Root />
        </AuthProvider>
      </AppContext>
    </QueryClientProvider>
  );
}

const shown = await start().then(
  (app) => <Page app={app} />,
  (error: unknown) => <ProblemAlert error={error} onRetry={() => location.reload()} />,
);
root.render(
  <StrictMode>
    <MantineProvider theme={theme} cssVariablesResolver={legible} defaultColorScheme="auto">
      {shown}
    </MantineProvider>
  </StrictMode>,
);
