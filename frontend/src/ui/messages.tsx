import { Alert, Button, Center, Group, Loader, Stack, Text, Title } from "@mantine/core";
import { IconAlertTriangle, IconLock } from "@tabler/icons-react";
import type { ReactNode } from "react";
import { asProblem, type Problem } from "../api/problem.ts";
import { asSentence } from "./format.ts";

/** Explains a failure, with a button to retry if that is possible. */
export function ProblemAlert({ error, onRetry }: { error: unknown; onRetry?: () => void }) {
  const problem = asProblem(error);
  if (problem.status === 403) return <Forbidden detail={problem.message} />;
  return (
    <Alert color="red" role="alert" icon={<IconAlertTriangle aria-hidden />} title={titleOf(problem)}>
      <Stack gap="xs" align="start">
        <Text size="sm">{detailOf(problem)}</Text>
        {onRetry && (
          <Button size="xs" variant="default" onClick={onRetry}>
            Try again
          </Button>
        )}
      </Stack>
    </Alert>
  );
}

function Forbidden({ detail }: { detail: string }) {
  return (
    <Alert color="yellow" role="alert" icon={<IconLock aria-hidden />} title="Access denied">
      <Text size="sm">
        {asSentence(detail)} Admins are the members of the groups in <code>API_ADMIN_GROUPS</code>. If you
        became an admin just now, sign out and in again to get a token with your new permissions.
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
      return "Conflict";
    case 429:
      return "Too many requests";
    case 503:
      return "Service unavailable";
    default:
      return `${problem.title} (${problem.status})`;
  }
}

function detailOf({ message, retryAfter }: Problem): string {
  return asSentence(message) + (retryAfter ? ` Try again in ${retryAfter} s.` : "");
}

/** Replaces an empty list. The children say how to get content into it. */
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

/** The heading of a page, which is also the title of the browser tab. */
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
