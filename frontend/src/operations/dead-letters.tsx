import { Button, Group, Table, Text } from "@mantine/core";
import { useInfiniteQuery, useMutation } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { answer, type Schemas } from "../api/client.ts";
import { useApp } from "../app/context.tsx";
import { counted } from "../ui/format.ts";
import { Empty, Loading, ProblemAlert } from "../ui/messages.tsx";
import { Time } from "../ui/time.tsx";
import { Wide } from "../ui/wide.tsx";
import { Confirm } from "./confirm.tsx";
import { DeadLetterDetails } from "./dead-letter-details.tsx";
import { deadLettersQuery } from "./queries.ts";

/** Deliveries that no retry could mend, and what can be done with them. `n` is how many there are now. */
export function DeadLetters({ n }: { n: number }) {
  const { api, queries } = useApp();
  const found = useInfiniteQuery(deadLettersQuery(api));
  const [opened, setOpened] = useState<string | null>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another count means another list
  useEffect(() => {
    void queries.invalidateQueries({ queryKey: ["dead-letters"] });
  }, [n, queries]);
  if (found.isPending) return <Loading what="dead letters" />;
  if (!found.data) return <ProblemAlert error={found.error} onRetry={() => void found.refetch()} />;
  const letters = found.data.pages.flatMap((page) => page.dead_letters);
  if (letters.length === 0) {
    return (
      <Empty title="No dead letters">
        A delivery that no retry can mend would be kept here with its reason, until somebody replays or drops
        it.
      </Empty>
    );
  }
  return (
    <>
      <ReplayAll n={n} />
      <LetterTable letters={letters} onOpen={setOpened} />
      {found.hasNextPage && (
        <Button
          mt="xs"
          size="xs"
          variant="default"
          loading={found.isFetching}
          onClick={() => void found.fetchNextPage()}
        >
          More dead letters
        </Button>
      )}
      <DeadLetterDetails id={opened} onClose={() => setOpened(null)} />
    </>
  );
}

function ReplayAll({ n }: { n: number }) {
  const { api, queries } = useApp();
  const replay = useMutation({
    mutationFn: () => answer(api.POST("/api/dead-letters/replay")),
    onSettled: () => queries.invalidateQueries({ queryKey: ["operations"] }),
  });
  return (
    <Group mb="xs" gap="xs">
      <Confirm
        label="Replay all"
        question={`Put ${counted(n, "delivery", "deliveries")} into the inbox again?`}
        isBusy={replay.isPending}
        onConfirm={() => replay.mutate()}
      />
      {replay.data && (
        <Text size="sm" role="status">
          Asked for: see below how far it is.
        </Text>
      )}
      {replay.error && <ProblemAlert error={replay.error} />}
    </Group>
  );
}

interface LetterTableProps {
  letters: readonly Schemas["DeadLetter"][];
  onOpen: (id: string) => void;
}

function LetterTable({ letters, onOpen }: LetterTableProps) {
  return (
    <Wide label="Dead letters">
      <Table withTableBorder fz="sm" verticalSpacing={4} aria-label="Dead letters">
        <Table.Thead>
          <Table.Tr>
            <Table.Th>Delivery</Table.Th>
            <Table.Th>Reason</Table.Th>
            <Table.Th>Attempts</Table.Th>
            <Table.Th>Last failure</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {letters.map(({ id, reason, attempts, last_failure }) => (
            <Table.Tr key={id}>
              <Table.Td>
                <Button size="compact-xs" variant="subtle" onClick={() => onOpen(id)}>
                  {id}
                </Button>
              </Table.Td>
              <Table.Td className="breaking">{reason}</Table.Td>
              <Table.Td>{attempts}</Table.Td>
              <Table.Td>{last_failure ? <Time time={last_failure} /> : "unknown"}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Wide>
  );
}
