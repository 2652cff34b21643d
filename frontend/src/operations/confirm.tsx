import { Button, Group, Text } from "@mantine/core";
import { useState } from "react";

interface Props {
  label: string;
  question: string;
  isBusy: boolean;
  isDangerous?: boolean;
  onConfirm: () => void;
}

/** A button that asks for confirmation in place. */
export function Confirm({ label, question, isBusy, isDangerous = false, onConfirm }: Props) {
  const [isAsking, setIsAsking] = useState(false);
  if (!isAsking) {
    return (
      <Button size="xs" variant="default" loading={isBusy} onClick={() => setIsAsking(true)}>
        {label}
      </Button>
    );
  }
  return (
    <Group gap="xs" role="group" aria-label={question}>
      <Text size="sm">{question}</Text>
      <Button
        size="xs"
        color={isDangerous ? "red" : "blue"}
        onClick={() => {
          setIsAsking(false);
          onConfirm();
        }}
      >
        {label}
      </Button>
      <Button size="xs" variant="default" onClick={() => setIsAsking(false)}>
        Cancel
      </Button>
    </Group>
  );
}
