import { Center } from "@mantine/core";
import type { ReactNode } from "react";
import type { RecordedEvent } from "../event/event.ts";
import { EventList } from "../feed/event-list.tsx";
import { type Shown, useHold } from "../feed/hold.ts";
import type { Timeline } from "../feed/timeline.ts";
import { ChangeTable } from "./event-details.tsx";
import { counted } from "./format.ts";
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

function Footer({ timeline: { items, reach } }: { timeline: Timeline }) {
  switch (reach) {
    case "loading":
      return <Loading what="events" />;
    case "failed":
      return null;
    case "cut":
      return items.length > 0 ? (
        <End>{`The newest ${counted(items.length, "event")}; older ones are left out.`}</End>
      ) : (
        <Empty title="Nothing was recorded lately">Older events are left out.</Empty>
      );
    case "beginning":
      return items.length > 0 ? (
        <End>This is the beginning.</End>
      ) : (
        <Empty title="Nothing is recorded">What happens from now on appears here at once.</Empty>
      );
    default:
      return unreachable(reach);
  }
}

function End({ children }: { children: ReactNode }) {
  return (
    <Center py="sm" c="dimmed" fz="sm">
      {children}
    </Center>
  );
}

function unreachable(reach: never): never {
  throw new Error(`a reach that nobody thought of: ${JSON.stringify(reach)}`);
}
