import { Badge, type MantineColor, Table, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import type { Schemas } from "../api/client.ts";
import { useApp } from "../app/context.tsx";
import { valueText } from "../ui/format.ts";
import { Empty, Loading, ProblemAlert } from "../ui/messages.tsx";
import { Time } from "../ui/time.tsx";
import { Wide } from "../ui/wide.tsx";
import { OperationProgress } from "./projections.tsx";
import { operationsQuery } from "./queries.ts";

type Operation = Schemas["Operation"];

/** What operators had done, newest first. */
export function Operations() {
  const { api } = useApp();
  const found = useQuery(operationsQuery(api));
  if (found.isPending) return <Loading what="operations" />;
  if (!found.data) return <ProblemAlert error={found.error} onRetry={() => void found.refetch()} />;
  const { operations } = found.data;
  if (operations.length === 0) {
    return <Empty title="Nothing yet">Rebuilds and replays that somebody asks for are listed here.</Empty>;
  }
  return (
    <Wide label="Operations">
      <Table withTableBorder fz="sm" verticalSpacing={4} aria-label="Operations">
        <Table.Thead>
          <Table.Tr>
            <Table.Th>Began</Table.Th>
            <Table.Th>What</Table.Th>
            <Table.Th>State</Table.Th>
            <Table.Th>Result</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {operations.map((operation) => (
            <Table.Tr key={operation.id}>
              <Table.Td>
                <Time time={operation.began} />
              </Table.Td>
              <Table.Td>{whatOf(operation)}</Table.Td>
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
        </Table.Tbody>
      </Table>
    </Wide>
  );
}

function Outcome({ operation }: { operation: Operation }) {
  const { state, error, result } = operation;
  switch (state) {
    case "running":
      return <OperationProgress operation={operation} label={whatOf(operation)} />;
    case "failed":
      return <Text size="sm">{error ?? "It does not say why."}</Text>;
    case "done":
      return <Text size="sm">{result === undefined ? "done" : valueText(result)}</Text>;
    default:
      return unreachable(state);
  }
}

function whatOf({ kind, subject }: Operation): string {
  switch (kind) {
    case "rebuild":
      return `rebuild of ${subject ?? "a projection"}`;
    case "replay-dead-letters":
      return subject ? `replay of ${subject}` : "replay of all dead letters";
    case "drop-dead-letter":
      return `drop of ${subject ?? "a dead letter"}`;
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

function unreachable(value: never): never {
  throw new Error(`something that nobody thought of: ${JSON.stringify(value)}`);
}
