import { Alert, Button, Container, Group, Stack, Text, Title } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { useAuth } from "react-oidc-context";
import { useApp } from "../app/context.tsx";
import { ThemeSwitch } from "../app/shell.tsx";
import { ProblemAlert } from "../ui/messages.tsx";
import { returnPath } from "./session.ts";

/** What somebody sees who is not signed in; and why they are no longer, where they were. */
export function Welcome() {
  const { session, config } = useApp();
  const auth = useAuth();
  const here = returnPath({ returnTo: location.pathname + location.search });
  const enter = useMutation({
    mutationFn: (isNew: boolean) => (isNew ? session.signUp(here) : session.signIn(here)),
  });
  return (
    <Container size="xs" component="main" py="xl" id="content">
      <Stack gap="lg">
        <Group justify="space-between">
          <Title order={1} size="h2">
            authentik-events
          </Title>
          <ThemeSwitch />
        </Group>
        {session.ended && (
          <Alert color="yellow" role="alert" title="You are signed out">
            {session.ended}
          </Alert>
        )}
        {auth.error && (
          <Alert color="red" role="alert" title="The sign-in did not succeed">
            {auth.error.message}. Try again; if that fails as well, authentik may not be reachable, or this
            application is not set up there.
          </Alert>
        )}
        <Text>
          Sign in with authentik to see what is recorded about you, as it happens. Administrators see
          everybody.
        </Text>
        {enter.error && (
          <ProblemAlert error={new Error(`authentik cannot be reached (${enter.error.message})`)} />
        )}
        <Group>
          <Button loading={enter.isPending} onClick={() => enter.mutate(false)}>
            Sign in
          </Button>
          {config.enrollmentUrl && (
            <Button variant="default" disabled={enter.isPending} onClick={() => enter.mutate(true)}>
              Sign up
            </Button>
          )}
        </Group>
      </Stack>
    </Container>
  );
}
