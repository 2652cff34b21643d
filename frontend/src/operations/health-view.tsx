import { Alert, List, type MantineColor, Paper, SimpleGrid, Table, Text } from "@mantine/core";
import { IconAlertTriangle, IconCircleCheck, IconClock, IconHelp } from "@tabler/icons-react";
import type { Schemas } from "../api/client.ts";
import { bytes, count, counted, dateTime } from "../ui/format.ts";
import { ScrollTable } from "../ui/scroll-table.tsx";
import { unreachable } from "../unreachable.ts";
import { type Finding, findings, type Level, type Status } from "./health.ts";

export function HealthCards({ status }: { status: Status }) {
  return (
    <SimpleGrid cols={{ base: 1, xs: 2, md: 5 }} spacing="xs">
      {findings(status).map((finding) => (
        <HealthCard key={finding.title} finding={finding} />
      ))}
    </SimpleGrid>
  );
}

function HealthCard({ finding: { title, level, text } }: { finding: Finding }) {
  const color = colorOf(level);
  return (
    <Paper
      withBorder
      p="xs"
      component="section"
      aria-label={title}
      style={{ borderLeft: `4px solid var(--mantine-color-${color}-6)` }}
    >
      <Text size="xs" c="dimmed">
        {title}
      </Text>
      <Text size="sm" fw={600} className="with-icon">
        <LevelIcon level={level} />
        {text}
      </Text>
    </Paper>
  );
}

function colorOf(level: Level): MantineColor {
  switch (level) {
    case "good":
      return "green";
    case "busy":
      return "yellow";
    case "bad":
      return "red";
    case "unknown":
      return "gray";
    default:
      return unreachable(level);
  }
}

function LevelIcon({ level }: { level: Level }) {
  switch (level) {
    case "good":
      return <IconCircleCheck size={16} aria-label="good" />;
    case "busy":
      return <IconClock size={16} aria-label="busy" />;
    case "bad":
      return <IconAlertTriangle size={16} aria-label="needs attention" />;
    case "unknown":
      return <IconHelp size={16} aria-label="unknown" />;
    default:
      return unreachable(level);
  }
}

/** The reasons that unready projectors report. */
export function ProjectorFailures({ projectors }: { projectors: readonly Schemas["ProjectorHealth"][] }) {
  return projectors
    .filter(({ ready }) => !ready)
    .map(({ id, failures }) => (
      <Alert key={id} color="red" title={`Projector ${id} is not ready`}>
        <List size="sm">
          {Object.entries(failures).map(([condition, reason]) => (
            <List.Item key={condition}>
              {condition}: {reason}
            </List.Item>
          ))}
        </List>
      </Alert>
    ));
}

export function SweepLine({ sweep }: { sweep: Schemas["LastSweep"] | null }) {
  if (!sweep) {
    return (
      <Text size="sm" c="dimmed">
        No projector reports a completed reconciliation.
      </Text>
    );
  }
  const { n_users, n_groups, n_imported, n_differing, n_missing } = sweep.report;
  return (
    <Text size="sm" c="dimmed">
      Last reconciliation, {dateTime(sweep.completed)}: {counted(n_users, "user")} and{" "}
      {counted(n_groups, "group")} compared, {count(n_imported)} imported, {count(n_differing)} differing,{" "}
      {count(n_missing)} missing.
    </Text>
  );
}

export function StreamTable({ status }: { status: Status }) {
  const streams = [
    { name: "Inbox", stream: status.inbox },
    { name: "Events", stream: status.events },
    { name: "Dead letters", stream: status.dead_letters },
  ];
  const head = (
    <>
      <Table.Th>Stream</Table.Th>
      {["Messages", "Size", "Last sequence"].map((name) => (
        <Table.Th key={name} ta="right">
          {name}
        </Table.Th>
      ))}
    </>
  );
  return (
    <ScrollTable label="Streams" head={head}>
      {streams.map(({ name, stream }) => (
        <Table.Tr key={name}>
          <Table.Th scope="row">{name}</Table.Th>
          <Table.Td ta="right">{stream ? count(stream.messages) : "unknown"}</Table.Td>
          <Table.Td ta="right">{stream ? bytes(stream.bytes) : "–"}</Table.Td>
          <Table.Td ta="right">{stream ? count(stream.last_sequence) : "–"}</Table.Td>
        </Table.Tr>
      ))}
    </ScrollTable>
  );
}
