import { Button, Progress, Table, Text } from "@mantine/core";
import { useMutation, useQuery } from "@tanstack/react-query";
import { type Schemas, unwrap } from "../api/client.ts";
import { useApp } from "../app/context.tsx";
import { count, counted } from "../ui/format.ts";
import { ProblemAlert } from "../ui/messages.tsx";
import { ScrollTable } from "../ui/scroll-table.tsx";
import type { Status } from "./health.ts";
import { operationsQuery } from "./queries.ts";

const NAMES = ["users", "groups", "activity"] as const;
type Name = (typeof NAMES)[number];

/** The lag of each projection, with a button to rebuild it. */
export function Projections({ status }: { status: Status }) {
  const { api, queries } = useApp();
  const { data } = useQuery(operationsQuery(api));
  const rebuild = useMutation({
    mutationFn: (name: Name) =>
      unwrap(api.POST("/api/projections/{name}/rebuild", { params: { path: { name } } })),
    onSettled: () => queries.invalidateQueries({ queryKey: ["operations"] }),
  });
  const running = (name: Name) =>
    data?.operations.find(
      ({ kind, state, subject }) => kind === "rebuild" && state === "running" && subject === name,
    );
  const head = (
    <>
      <Table.Th>Projection</Table.Th>
      <Table.Th>Generation</Table.Th>
      <Table.Th>Stored</Table.Th>
      <Table.Th>API copy</Table.Th>
      <Table.Th w="12rem">Rebuild</Table.Th>
    </>
  );
  return (
    <>
      {rebuild.error && <ProblemAlert error={rebuild.error} />}
      <ScrollTable label="Projections" head={head}>
        {NAMES.map((name) => {
          const stored = status.projections?.find((projection) => projection.name === name);
          return (
            <Table.Tr key={name}>
              <Table.Th scope="row">{name}</Table.Th>
              <Table.Td>{stored?.generation ?? "–"}</Table.Td>
              <Table.Td>{stored ? lagText(stored.lag) : "–"}</Table.Td>
              <Table.Td>{lagText(status[name].lag)}</Table.Td>
              <Table.Td>
                <Rebuild
                  name={name}
                  running={running(name)}
                  isStarting={rebuild.isPending && rebuild.variables === name}
                  onStart={() => rebuild.mutate(name)}
                />
              </Table.Td>
            </Table.Tr>
          );
        })}
      </ScrollTable>
    </>
  );
}

function lagText(lag: number | null | undefined): string {
  if (lag === null || lag === undefined) return "unknown";
  return lag === 0 ? "up to date" : `${counted(lag, "event")} behind`;
}

interface RebuildProps {
  name: Name;
  running: Schemas["Operation"] | undefined;
  isStarting: boolean;
  onStart: () => void;
}

function Rebuild({ name, running, isStarting, onStart }: RebuildProps) {
  if (running) return <OperationProgress operation={running} label={`Rebuild of ${name}`} />;
  return (
    <Button
      size="compact-xs"
      variant="default"
      loading={isStarting}
      onClick={onStart}
      aria-label={`Rebuild ${name}`}
    >
      Rebuild
    </Button>
  );
}

export function OperationProgress({
  operation: { done, of },
  label,
}: {
  operation: Schemas["Operation"];
  label: string;
}) {
  const percent = of > 0 ? Math.min((done / of) * 100, 100) : 0;
  return (
    <>
      <Progress value={percent} size="sm" aria-label={label} />
      <Text size="xs" c="dimmed">
        {count(done)} of {count(of)}
      </Text>
    </>
  );
}
