import { Badge, type MantineColor, Table, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import type { Schemas } from "../api/client.ts";
import { useApp } from "../app/context.tsx";
import { valueText } from "../ui/format.ts";
import { Empty, Loading, ProblemAlert } from "../ui/messages.tsx";
import { ScrollTable } from "../ui/scroll-table.tsx";
import { Time } from "../ui/time.tsx";
import { unreachable } from "../unreachable.ts";
import { OperationProgress } from "./projections.tsx";
import { operationsQuery } from "./queries.ts";

type Operation = Schemas["Operation"];

/** The actions that operators requested, newest first. */
export function Operations() {
  const { api } = useApp();
  const found = useQuery(operationsQuery(api));
  if (found.isPending) return <Loading what="operations" />;
  if (!found.data) return <ProblemAlert error={found.error} onRetry={() => void found.refetch()} />;
  const { operations } = found.data;
  if (operations.length === 0) {
    return <Empty title="No operator actions yet">Rebuilds, replays and drops are listed here.</Empty>;
  }
  const head = ["Started", "Action", "State", "Result"].map((name) => <Table.Th key={name}>{name}</Table.Th>);
  return (
    <ScrollTable label="Operator actions" head={head}>
      {operations.map((operation) => (
        <Table.Tr key={operation.id}>
          <Table.Td>
            <Time time={operation.began} />
          </Table.Td>
          <Table.Td>{actionOf(operation)}</Table.Td>
          <Table.Td>
            <Badge variant="light" size="sm" radius="sm" tt="none" color={colorOf(operation.state)}>
              {operation.state}
            </Badge>
          </Table.Td>
          <Table.Td className="breaking">
            <Outcome operation={operation} />
          </Table.Td>
        </Table.Tr>
      ))}
    </ScrollTable>
  );
}

function Outcome({ operation }: { operation: Operation }) {
  const { state, error, result } = operation;
  switch (state) {
    case "running":
      return <OperationProgress operation={operation} label={actionOf(operation)} />;
    case "failed":
      return <Text size="sm">{error ?? "No reason was recorded; see the API's log."}</Text>;
    case "done":
      return <Text size="sm">{result === undefined ? "done" : valueText(result)}</Text>;
    default:
      return unreachable(state);
  }
}

function actionOf({ kind, subject }: Operation): string {
  switch (kind) {
    case "rebuild":
      return `rebuild of ${subject ?? "a projection"}`;
    case "replay-dead-letters":
      return subject ? `replay of ${subject}` : "replay of all dead letters";
    case "drop-dead-letter":
      return `drop of ${subject ?? "a dead letter"}`;
    case "confirm-deletions":
      return `confirmation of ${subject ?? "some"} deletions`;
    default:
      return unreachable(kind);
  }
}

function colorOf(state: Operation["state"]): MantineColor {
  switch (state) {
    case "running":
      return "blue";
    case "done":
      return "green";
    case "failed":
      return "red";
    default:
      return unreachable(state);
  }
}
