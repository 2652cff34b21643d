import { Stack, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { useApp } from "../app/context.tsx";
import { Loading, PageTitle, ProblemAlert } from "../ui/messages.tsx";
import { DeadLetters } from "./dead-letters.tsx";
import { HealthCards, ProjectorFailures, StreamTable, SweepLine } from "./health-view.tsx";
import { Operations } from "./operations.tsx";
import { Projections } from "./projections.tsx";
import { statusQuery } from "./queries.ts";

/** The health of the system, and the actions of an operator. */
export function OperationsPage() {
  const { api } = useApp();
  const status = useQuery(statusQuery(api));
  if (status.isPending) return <Loading what="the status" />;
  if (!status.data) return <ProblemAlert error={status.error} onRetry={() => void status.refetch()} />;
  return (
    <>
      <PageTitle title="Operations" />
      <Stack gap="lg">
        {status.error && <ProblemAlert error={status.error} />}
        <HealthCards status={status.data} />
        <ProjectorFailures projectors={status.data.projectors ?? []} />
        <SweepLine sweep={status.data.last_sweep ?? null} />
        <Section title="Projections">
          <Projections status={status.data} />
        </Section>
        <Section title="Dead letters">
          <DeadLetters n={status.data.dead_letters?.messages ?? 0} />
        </Section>
        <Section title="Operator actions">
          <Operations />
        </Section>
        <Section title="Streams">
          <StreamTable status={status.data} />
        </Section>
      </Stack>
    </>
  );
}

function Section({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section aria-label={title}>
      <Title order={2} size="h5" mb="xs">
        {title}
      </Title>
      {children}
    </section>
  );
}
