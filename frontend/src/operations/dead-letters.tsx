import { Button, Group, Table, Text } from "@mantine/core";
import { useInfiniteQuery, useMutation } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { type Schemas, unwrap } from "../api/client.ts";
import { useApp } from "../app/context.tsx";
import { counted } from "../ui/format.ts";
import { Empty, Loading, ProblemAlert } from "../ui/messages.tsx";
import { ScrollTable } from "../ui/scroll-table.tsx";
import { Time } from "../ui/time.tsx";
import { Confirm } from "./confirm.tsx";
import { DeadLetterDetails } from "./dead-letter-details.tsx";
import { deadLettersQuery } from "./queries.ts";

/** The deliveries that cannot be processed, with buttons to replay them. `n` is their current number. */
export function DeadLetters({ n }: { n: number }) {
  const { api, queries } = useApp();
  const found = useInfiniteQuery(deadLettersQuery(api));
  const [opened, setOpened] = useState<string | null>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: a new count means that the list has changed
  useEffect(() => {
    void queries.invalidateQueries({ queryKey: ["dead-letters"] });
  }, [n, queries]);
  if (found.isPending) return <Loading what="dead letters" />;
  if (!found.data) return <ProblemAlert error={found.error} onRetry={() => void found.refetch()} />;
  const letters = found.data.pages.flatMap((page) => page.dead_letters);
  if (letters.length === 0) {
    return (
      <Empty title="No dead letters">
        A delivery that cannot be processed is kept here with its reason, until you replay or drop it.
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
          Load more dead letters
        </Button>
      )}
      <DeadLetterDetails id={opened} onClose={() => setOpened(null)} />
    </>
  );
}

function ReplayAll({ n }: { n: number }) {
  const { api, queries } = useApp();
  const replay = useMutation({
    mutationFn: () => unwrap(api.POST("/api/dead-letters/replay")),
    onSettled: () => queries.invalidateQueries({ queryKey: ["operations"] }),
  });
  return (
    <Group mb="xs" gap="xs">
      <Confirm
        label="Replay all"
        question={`Return ${counted(n, "delivery", "deliveries")} to the inbox?`}
        isBusy={replay.isPending}
        onConfirm={() => replay.mutate()}
      />
      {replay.data && (
        <Text size="sm" role="status">
          Replay started. Its progress is shown under “Operator actions”.
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
  const head = ["Delivery", "Reason", "Attempts", "Last failure"].map((name) => (
    <Table.Th key={name}>{name}</Table.Th>
  ));
  return (
    <ScrollTable label="Dead letters" head={head}>
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
    </ScrollTable>
  );
}
