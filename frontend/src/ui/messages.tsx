import { Alert, Button, Center, Group, Loader, Stack, Text, Title } from "@mantine/core";
import { IconAlertTriangle, IconLock } from "@tabler/icons-react";
import type { ReactNode } from "react";
import { asProblem, type Problem } from "../api/problem.ts";

/** A failure in words, with a way on. */
export function ProblemAlert({ error, onRetry }: { error: unknown; onRetry?: () => void }) {
  const problem = asProblem(error);
  if (problem.status === 403) return <Forbidden detail={problem.message} />;
  return (
    <Alert color="red" role="alert" icon={<IconAlertTriangle aria-hidden />} title={titleOf(problem)}>
      <Stack gap="xs" align="start">
        <Text size="sm">{adviceOf(problem)}</Text>
        {onRetry && (
          <Button size="xs" variant="default" onClick={onRetry}>
            Try again
          </Button>
        )}
      </Stack>
    </Alert>
  );
}

export function Forbidden({ detail }: { detail: string }) {
  return (
    <Alert color="yellow" role="alert" icon={<IconLock aria-hidden />} title="This is not for your account">
      <Text size="sm">
        The API says: {detail}. Admins are the members of one of the groups in <code>API_ADMIN_GROUPS</code>.
        If you became one just now, sign out and in again: your rights are in your token.
      </Text>
    </Alert>
  );
}

function titleOf(problem: Problem): string {
  switch (problem.status) {
    case null:
      return problem.title;
    case 404:
      return "Not found";
    case 409:
      return "Not now";
    case 429:
      return "Too many requests";
    case 503:
      return "Not available now";
    default:
      return `${problem.title} (${problem.status})`;
  }
}

function adviceOf(problem: Problem): string {
  const wait = problem.retryAfter ? ` Try again in ${problem.retryAfter} s.` : "";
  const detail = problem.message.replace(/\.?$/, ".");
  return `${detail.charAt(0).toUpperCase()}${detail.slice(1)}${wait}`;
}

/** An empty list, which says what would fill it. */
export function Empty({ title, children }: { title: string; children: ReactNode }) {
  return (
    <Stack gap={4} align="center" py="xl" px="md" role="status">
      <Text fw={600}>{title}</Text>
      <Text size="sm" c="dimmed" ta="center" maw="32rem">
        {children}
      </Text>
    </Stack>
  );
}

export function Loading({ what }: { what: string }) {
  return (
    <Center py="xl" role="status" aria-label={`Loading ${what}`}>
      <Loader size="sm" />
    </Center>
  );
}

/** The heading of a page, which is also what the browser calls it. */
export function PageTitle({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <Group justify="space-between" align="center" mb="sm" gap="xs" mih={36}>
      <title>{`${title} · authentik-events`}</title>
      <Title order={1} size="h3">
        {title}
      </Title>
      {children}
    </Group>
  );
}
