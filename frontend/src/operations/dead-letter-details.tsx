import { Code, Drawer, Group, Stack, Table, Text } from "@mantine/core";
import { useMutation, useQuery } from "@tanstack/react-query";
import { type Schemas, unwrap } from "../api/client.ts";
import { useApp } from "../app/context.tsx";
import { counted, exactTime } from "../ui/format.ts";
import { Loading, ProblemAlert } from "../ui/messages.tsx";
import { Confirm } from "./confirm.tsx";
import { deadLetterQuery } from "./queries.ts";

interface Props {
  id: string | null;
  onClose: () => void;
}

/** One dead letter with its payload and headers, and buttons to replay or drop it. */
export function DeadLetterDetails({ id, onClose }: Props) {
  return (
    <Drawer
      opened={id !== null}
      onClose={onClose}
      position="right"
      size="lg"
      title="Dead letter"
      closeButtonProps={{ "aria-label": "Close" }}
    >
      {id && <Content key={id} id={id} onClose={onClose} />}
    </Drawer>
  );
}

/** The known times of the first and last failure. */
function failureTimes(first: string | null | undefined, last: string | null | undefined): string[] {
  const from = first ? [`from ${exactTime(first)}`] : [];
  const until = last ? [`until ${exactTime(last)}`] : [];
  return [[...from, ...until].join(" ")].filter((text) => text !== "");
}

function Content({ id, onClose }: { id: string; onClose: () => void }) {
  const { api } = useApp();
  const letter = useQuery(deadLetterQuery(api, id));
  if (letter.isPending) return <Loading what="the dead letter" />;
  if (!letter.data) return <ProblemAlert error={letter.error} onRetry={() => void letter.refetch()} />;
  const { reason, attempts, first_failure, last_failure, headers, payload } = letter.data;
  return (
    <Stack gap="md">
      <Text className="breaking">{reason}</Text>
      <Text size="sm" c="dimmed">
        {id}: {[counted(attempts, "attempt"), ...failureTimes(first_failure, last_failure)].join(", ")}.
      </Text>
      <Actions id={id} onDone={onClose} />
      <HeaderTable headers={headers} />
      <Code block fz="xs" className="breaking" tabIndex={0}>
        {payload}
      </Code>
    </Stack>
  );
}

function Actions({ id, onDone }: { id: string; onDone: () => void }) {
  const { api, queries } = useApp();
  const refresh = async () => {
    await queries.invalidateQueries({ queryKey: ["dead-letters"] });
    await queries.invalidateQueries({ queryKey: ["operations"] });
  };
  const params = { path: { id } };
  const replay = useMutation({
    mutationFn: () => unwrap(api.POST("/api/dead-letters/{id}/replay", { params })),
    onSuccess: refresh,
  });
  const drop = useMutation({
    mutationFn: () => unwrap(api.DELETE("/api/dead-letters/{id}", { params })),
    onSuccess: async () => {
      onDone();
      await refresh();
    },
  });
  const error = replay.error ?? drop.error;
  return (
    <>
      <Group gap="xs">
        <Confirm
          label="Replay"
          question="Return it to the inbox?"
          isBusy={replay.isPending}
          onConfirm={() => replay.mutate()}
        />
        <Confirm
          label="Drop"
          question="Delete it permanently?"
          isBusy={drop.isPending}
          isDangerous
          onConfirm={() => drop.mutate()}
        />
      </Group>
      {replay.data && (
        <Text size="sm" role="status">
          Returned to the inbox as {replay.data.replay}.
        </Text>
      )}
      {error && <ProblemAlert error={error} />}
    </>
  );
}

function HeaderTable({ headers }: { headers: Schemas["DeadLetterContent"]["headers"] }) {
  return (
    <Table withTableBorder fz="xs" verticalSpacing={2} layout="fixed" aria-label="Headers">
      <Table.Tbody>
        {Object.entries(headers).map(([name, values]) => (
          <Table.Tr key={name}>
            <Table.Th scope="row" className="breaking">
              {name}
            </Table.Th>
            <Table.Td className="breaking">{values.join(", ")}</Table.Td>
          </Table.Tr>
        ))}
      </Table.Tbody>
    </Table>
  );
}
