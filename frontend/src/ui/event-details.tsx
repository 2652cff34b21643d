import { Button, Code, CopyButton, Drawer, Group, ScrollArea, Stack, Table, Text } from "@mantine/core";
import { IconCheck, IconCopy } from "@tabler/icons-react";
import { useEffect, useState } from "react";
import { changesOf, type RecordedEvent } from "../event/event.ts";
import { EventBadge } from "./event-badge.tsx";
import { exactTime, valueText } from "./format.ts";
import { SentenceView } from "./sentence-view.tsx";

/** All details of one event, in a drawer. */
export function EventDetails({ event, onClose }: { event: RecordedEvent | null; onClose: () => void }) {
  const [isOpen, setIsOpen] = useState(false);
  // A drawer restores the focus on close only if it is opened after it was mounted.
  useEffect(() => setIsOpen(event !== null), [event]);
  return (
    <Drawer
      opened={isOpen}
      onClose={onClose}
      position="right"
      size="lg"
      title="Event"
      closeButtonProps={{ "aria-label": "Close" }}
    >
      {event && <Content event={event} />}
    </Drawer>
  );
}

function Content({ event }: { event: RecordedEvent }) {
  return (
    <Stack gap="md">
      <Group gap="xs">
        <EventBadge type={event.type} />
        <Text size="sm" c="dimmed">
          {exactTime(event.time)}
          {event.approximate && " (time of detection)"}
        </Text>
      </Group>
      <Text>
        <SentenceView event={event} />
      </Text>
      <ChangeTable event={event} />
      <Text size="sm" c="dimmed">
        {originOf(event)}
      </Text>
      <RawEvent raw={event.raw} />
    </Stack>
  );
}

function originOf(event: RecordedEvent): string {
  const channel = `Channel: ${event.channel || "unknown"}.`;
  return event.cause ? `${channel} Cause: ${event.cause}.` : channel;
}

/** The changed fields with their values before and after. */
export function ChangeTable({ event }: { event: RecordedEvent }) {
  const changes = changesOf(event);
  if (changes.length === 0) return null;
  return (
    <Table withTableBorder fz="sm" layout="fixed" verticalSpacing={4}>
      <Table.Thead>
        <Table.Tr>
          <Table.Th>Field</Table.Th>
          <Table.Th>Before</Table.Th>
          <Table.Th>After</Table.Th>
        </Table.Tr>
      </Table.Thead>
      <Table.Tbody>
        {changes.map(([field, { from, to }]) => (
          <Table.Tr key={field}>
            <Table.Th scope="row">{field.replaceAll("_", " ")}</Table.Th>
            <Table.Td className="breaking">{valueText(from)}</Table.Td>
            <Table.Td className="breaking">{valueText(to)}</Table.Td>
          </Table.Tr>
        ))}
      </Table.Tbody>
    </Table>
  );
}

function RawEvent({ raw }: { raw: string }) {
  return (
    <Stack gap="xs">
      <Group justify="space-between">
        <Text size="sm" fw={600}>
          CloudEvent
        </Text>
        <CopyButton value={raw}>
          {({ copied, copy }) => (
            <Button
              size="compact-xs"
              variant="default"
              onClick={copy}
              leftSection={copied ? <IconCheck size={14} aria-hidden /> : <IconCopy size={14} aria-hidden />}
            >
              {copied ? "Copied" : "Copy"}
            </Button>
          )}
        </CopyButton>
      </Group>
      <ScrollArea.Autosize mah="50vh" type="auto" viewportProps={{ tabIndex: 0, "aria-label": "CloudEvent" }}>
        <Code block fz="xs" tabIndex={0}>
          {pretty(raw)}
        </Code>
      </ScrollArea.Autosize>
    </Stack>
  );
}

function pretty(raw: string): string {
  try {
    return JSON.stringify(JSON.parse(raw), null, 2);
  } catch {
    return raw;
  }
}
