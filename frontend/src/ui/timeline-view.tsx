import { Center } from "@mantine/core";
import type { RecordedEvent } from "../event/event.ts";
import { EventList } from "../feed/event-list.tsx";
import { type Shown, useHold } from "../feed/hold.ts";
import type { Timeline } from "../feed/timeline.ts";
import { ChangeTable } from "./event-details.tsx";
import { count } from "./format.ts";
import { Empty, Loading } from "./messages.tsx";

/** All events about somebody or something, with what changed in each. */
export function TimelineView({ timeline, label }: { timeline: Timeline; label: string }) {
  const shown: Shown = useHold(timeline.items);
  return (
    <EventList
      shown={shown}
      label={label}
      isPaused={false}
      more={changesIn}
      footer={<Footer timeline={timeline} />}
    />
  );
}

const changesIn = (event: RecordedEvent) => <ChangeTable event={event} />;

function Footer({ timeline: { items, isLoading, isCut } }: { timeline: Timeline }) {
  if (isLoading) return <Loading what="events" />;
  if (items.length === 0) {
    return <Empty title="Nothing is recorded">What happens from now on appears here at once.</Empty>;
  }
  return (
    <Center py="sm" c="dimmed" fz="sm">
      {isCut
        ? `The first ${count(items.length)} events, and those that came since this page was opened.`
        : "This is the beginning."}
    </Center>
  );
}
