import { Button, Group, Text } from "@mantine/core";
import { count } from "./format.ts";

interface Props {
  index: number;
  size: number;
  nRows: number;
  /** Whether more rows can be loaded. */
  hasMore: boolean;
  onGoTo: (index: number) => void;
}

export function Pager({ index, size, nRows, hasMore, onGoTo }: Props) {
  if (nRows === 0) return null;
  const first = index * size + 1;
  const last = Math.min((index + 1) * size, nRows);
  return (
    <Group justify="space-between" py="xs">
      <Text size="sm" c="dimmed" role="status">
        {count(first)} to {count(last)} of {hasMore ? "more than " : ""}
        {count(nRows)}
      </Text>
      <Group gap="xs">
        <Button size="xs" variant="default" disabled={index === 0} onClick={() => onGoTo(index - 1)}>
          Previous
        </Button>
        <Button
          size="xs"
          variant="default"
          disabled={last >= nRows && !hasMore}
          onClick={() => onGoTo(index + 1)}
        >
          Next
        </Button>
      </Group>
    </Group>
  );
}
