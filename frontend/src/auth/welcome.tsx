import { Alert, Button, Container, Group, Stack, Text, Title } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { useAuth } from "react-oidc-context";
import { useApp } from "../app/context.tsx";
import { ThemeSwitch } from "../app/shell.tsx";
import { ProblemAlert } from "../ui/messages.tsx";
import { returnPath } from "./session.ts";

/** The page for users who are not signed in. It says why a session ended. */
export function Welcome() {
  const { session, config } = useApp();
  const auth = useAuth();
  const returnTo = returnPath({ returnTo: location.pathname + location.search });
  const redirect = useMutation({
    mutationFn: (isNew: boolean) => (isNew ? session.signUp(returnTo) : session.signIn(returnTo)),
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
        {session.endReason && (
          <Alert color="yellow" role="alert" title="You are signed out">
            {session.endReason}
          </Alert>
        )}
        {auth.error && (
          <Alert color="red" role="alert" title="Sign-in failed">
            {auth.error.message}. Try again. If the sign-in fails again, check that authentik is reachable and
            that this application is configured there.
          </Alert>
        )}
        <Text>
          Sign in with authentik to follow the events recorded about you in real time. Administrators see the
          events of all users.
        </Text>
        {redirect.error && (
          <ProblemAlert
            error={
              new Error(`authentik cannot be reached (${redirect.error.message}); check that it is running`)
            }
          />
        )}
        <Group>
          <Button loading={redirect.isPending} onClick={() => redirect.mutate(false)}>
            Sign in
          </Button>
          {config.enrollmentUrl && (
            <Button variant="default" disabled={redirect.isPending} onClick={() => redirect.mutate(true)}>
              Sign up
            </Button>
          )}
        </Group>
      </Stack>
    </Container>
  );
}
