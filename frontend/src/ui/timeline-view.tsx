import { Center, Stack } from "@mantine/core";
import type { ReactNode } from "react";
import type { RecordedEvent } from "../event/event.ts";
import { EventList } from "../feed/event-list.tsx";
import { useFreezableList } from "../feed/freezable-list.ts";
import { type History, type Subject, type Timeline, useTimeline } from "../feed/timeline.ts";
import { unreachable } from "../unreachable.ts";
import { ChangeTable } from "./event-details.tsx";
import { counted } from "./format.ts";
import { Empty, Loading, ProblemAlert } from "./messages.tsx";

/** The recorded events about a user or a group, continued by the feed. */
export function SubjectTimeline(props: { history: History; subject: Subject; label: string }) {
  const { history, subject, label } = props;
  const timeline = useTimeline(history, subject);
  return (
    <Stack gap="xs" className="column-filling">
      {history.isError && <ProblemAlert error={history.error} onRetry={() => void history.fetchNextPage()} />}
      <TimelineView timeline={timeline} label={label} />
    </Stack>
  );
}

export function TimelineView({ timeline, label }: { timeline: Timeline; label: string }) {
  const list = useFreezableList(timeline.items);
  return (
    <EventList
      list={list}
      label={label}
      isPaused={false}
      details={changesIn}
      footer={<Footer timeline={timeline} />}
    />
  );
}

const changesIn = (event: RecordedEvent) => <ChangeTable event={event} />;

function Footer({ timeline: { items, completeness } }: { timeline: Timeline }) {
  const isEmpty = items.length === 0;
  switch (completeness) {
    case "loading":
      return <Loading what="events" />;
    case "failed":
      return null;
    case "truncated":
      if (isEmpty) return <Empty title="No recent events">Older events are not shown.</Empty>;
      return <End>{`Only the newest ${counted(items.length, "event")} are shown.`}</End>;
    case "complete":
      if (isEmpty) return <Empty title="No events recorded">New events appear here immediately.</Empty>;
      return <End>There are no earlier events.</End>;
    default:
      return unreachable(completeness);
  }
}

function End({ children }: { children: ReactNode }) {
  return (
    <Center py="sm" c="dimmed" fz="sm">
      {children}
    </Center>
  );
}
