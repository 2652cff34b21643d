import { ActionIcon, Button } from "@mantine/core";
import { IconCode } from "@tabler/icons-react";
import { useVirtualizer } from "@tanstack/react-virtual";
import { lazy, memo, type ReactNode, Suspense, type UIEvent, useCallback, useRef, useState } from "react";
import type { RecordedEvent } from "../event/event.ts";
import { plainText, sentence } from "../event/sentence.ts";
import { EventBadge } from "../ui/event-badge.tsx";
import { counted } from "../ui/format.ts";
import { SentenceView } from "../ui/sentence-view.tsx";
import { Time } from "../ui/time.tsx";
import type { Item } from "./buffer.ts";
import type { FreezableList } from "./freezable-list.ts";

const EventDetails = lazy(async () => ({ default: (await import("../ui/event-details.tsx")).EventDetails }));

/** The height of a row with a one-line sentence, as styled by `.event`. A correct estimate avoids layout shifts. */
const ROW_PX = 35;

/** Scrolling further down than this freezes the list. */
const FREEZE_PX = 24;

interface Props {
  list: FreezableList;
  label: string;
  /** Whether the user paused the list. A paused list stays frozen while its top is visible. */
  isPaused: boolean;
  /** Shown at the end of the list. */
  footer?: ReactNode;
  /** Renders details below the sentence. */
  details?: (event: RecordedEvent) => ReactNode;
}

/** Events, newest first. Only visible rows are in the document. */
export function EventList({ list, label, isPaused, footer, details }: Props) {
  const viewport = useRef<HTMLElement>(null);
  const [opened, setOpened] = useState<RecordedEvent | null>(null);
  const [wasOpened, setWasOpened] = useState(false);
  const open = useCallback((event: RecordedEvent) => {
    setOpened(event);
    setWasOpened(true);
  }, []);
  const { items, nNew } = list;
  const at = (index: number): Item | undefined => items[items.length - 1 - index];
  const rows = useVirtualizer({
    count: items.length,
    getScrollElement: () => viewport.current,
    estimateSize: () => ROW_PX,
    getItemKey: (index) => at(index)?.id ?? index,
    overscan: 8,
  });
  const onScroll = ({ currentTarget }: UIEvent<HTMLElement>) => {
    if (currentTarget.scrollTop > FREEZE_PX) list.freeze();
    else if (!isPaused) list.unfreeze();
  };
  const showNew = () => {
    list.unfreeze();
    viewport.current?.scrollTo({ top: 0 });
  };
  return (
    <div className="events">
      <div className="events-new" role="status">
        {nNew > 0 && !isPaused && (
          <Button size="compact-sm" radius="xl" onClick={showNew}>
            {counted(nNew, "new event")}
          </Button>
        )}
      </div>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: keyboard users must be able to focus and scroll this area */}
      <section ref={viewport} className="events-viewport" onScroll={onScroll} tabIndex={0} aria-label={label}>
        {items.length > 0 && (
          <div role="feed" aria-label={label} style={{ height: rows.getTotalSize(), position: "relative" }}>
            {rows.getVirtualItems().map(({ key, index, start }) => {
              const event = at(index);
              return (
                event && (
                  <article
                    key={key}
                    ref={rows.measureElement}
                    id={event.id}
                    data-index={index}
                    className="event"
                    aria-posinset={index + 1}
                    aria-setsize={items.length}
                    aria-label={plainText(sentence(event, () => null))}
                    style={{ transform: `translateY(${start}px)` }}
                  >
                    <EventRow event={event} details={details} onOpen={open} />
                  </article>
                )
              );
            })}
          </div>
        )}
        {footer}
      </section>
      <Suspense>{wasOpened && <EventDetails event={opened} onClose={() => setOpened(null)} />}</Suspense>
    </div>
  );
}

interface RowProps {
  event: RecordedEvent;
  details: ((event: RecordedEvent) => ReactNode) | undefined;
  onOpen: (event: RecordedEvent) => void;
}

/** Memoized, since many events can arrive while a row is visible. */
const EventRow = memo(({ event, details, onOpen }: RowProps) => {
  return (
    <>
      <div className="event-time">
        <Time time={event.time} approximate={event.approximate} />
      </div>
      <div className="event-type">
        <EventBadge type={event.type} />
      </div>
      <div className="event-sentence">
        <SentenceView event={event} />
        {details?.(event)}
      </div>
      <ActionIcon variant="subtle" color="gray" size="sm" aria-label="Details" onClick={() => onOpen(event)}>
        <IconCode size={16} aria-hidden />
      </ActionIcon>
    </>
  );
});
