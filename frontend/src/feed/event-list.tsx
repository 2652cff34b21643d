import { ActionIcon, Button } from "@mantine/core";
import { IconCode } from "@tabler/icons-react";
import { useVirtualizer } from "@tanstack/react-virtual";
import { lazy, memo, type ReactNode, Suspense, type UIEvent, useCallback, useRef, useState } from "react";
import type { RecordedEvent } from "../event/event.ts";
import { plain, sentence } from "../event/sentence.ts";
import { EventBadge } from "../ui/event-badge.tsx";
import { counted } from "../ui/format.ts";
import { SentenceView } from "../ui/sentence-view.tsx";
import { Time } from "../ui/time.tsx";
import type { Item } from "./buffer.ts";
import type { Shown } from "./hold.ts";

const EventDetails = lazy(async () => ({ default: (await import("../ui/event-details.tsx")).EventDetails }));

/** A sentence of one line, by the style of `.event`: where this is right, nothing has to move. */
const ROW_PX = 35;

/** Who scrolled so far down reads something that must stay where it is. */
const READING_PX = 24;

interface Props {
  shown: Shown;
  label: string;
  /** True where the list stays held though its top is in sight. */
  isPaused: boolean;
  /** At the end of the list. */
  footer?: ReactNode;
  /** Below each sentence. */
  more?: (event: RecordedEvent) => ReactNode;
}

/** Events, newest first; only those in sight are in the document. */
export function EventList({ shown, label, isPaused, footer, more }: Props) {
  const viewport = useRef<HTMLElement>(null);
  const [opened, setOpened] = useState<RecordedEvent | null>(null);
  const [wasOpened, setWasOpened] = useState(false);
  const open = useCallback((event: RecordedEvent) => {
    setOpened(event);
    setWasOpened(true);
  }, []);
  const { items, nNew } = shown;
  const at = (index: number): Item | undefined => items[items.length - 1 - index];
  const rows = useVirtualizer({
    count: items.length,
    getScrollElement: () => viewport.current,
    estimateSize: () => ROW_PX,
    getItemKey: (index) => at(index)?.id ?? index,
    overscan: 8,
  });
  const onScroll = ({ currentTarget }: UIEvent<HTMLElement>) => {
    if (currentTarget.scrollTop > READING_PX) shown.hold();
    else if (!isPaused) shown.release();
  };
  const showNew = () => {
    shown.release();
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
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be in reach of the keyboard */}
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
                    aria-label={plain(sentence(event, () => null))}
                    style={{ transform: `translateY(${start}px)` }}
                  >
                    <EventRow event={event} more={more} onOpen={open} />
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
  more: ((event: RecordedEvent) => ReactNode) | undefined;
  onOpen: (event: RecordedEvent) => void;
}

/** Made once for each event: many more may come while it is in sight. */
const EventRow = memo(({ event, more, onOpen }: RowProps) => {
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
        {more?.(event)}
      </div>
      <ActionIcon variant="subtle" color="gray" size="sm" aria-label="Details" onClick={() => onOpen(event)}>
        <IconCode size={16} aria-hidden />
      </ActionIcon>
    </>
  );
});
