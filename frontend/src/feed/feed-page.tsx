import { Alert, Button, Center, Text } from "@mantine/core";
import { IconFilter, IconPlayerPause, IconPlayerPlay } from "@tabler/icons-react";
import { useMutation } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { lazy, Suspense, useEffect, useMemo, useState, useSyncExternalStore } from "react";
import { useApp, useIsAdmin } from "../app/context.tsx";
import { count } from "../ui/format.ts";
import { Empty, Loading, PageTitle, ProblemAlert } from "../ui/messages.tsx";
import { CAPACITY } from "./buffer.ts";
import { describeConnection } from "./connection-badge.tsx";
import { EventList } from "./event-list.tsx";
import { type FeedFilter, type FeedSearch, filterOf, matchesAll } from "./filter.ts";
import { useFreezableList } from "./freezable-list.ts";
import { loadOlder } from "./load-older.ts";
import type { FeedState } from "./store.ts";

const FilterBar = lazy(async () => ({ default: (await import("./filter-bar.tsx")).FilterBar }));

export function FeedPage() {
  const { feed } = useApp();
  const isAdmin = useIsAdmin();
  const state = useSyncExternalStore(feed.subscribe, feed.get);
  const search = useSearch({ from: "/" });
  const navigate = useNavigate({ from: "/" });
  const filter = useMemo(() => filterOf(search), [search]);
  const [isPaused, setIsPaused] = useState(false);
  const list = useFreezableList(state.buffer.items, filter);
  const { freeze, unfreeze } = list;
  const togglePause = () => {
    if (isPaused) unfreeze();
    else freeze();
    setIsPaused(!isPaused);
  };
  // biome-ignore lint/correctness/useExhaustiveDependencies: a changed filter shows another list from its top
  useEffect(() => {
    if (!isPaused) unfreeze();
  }, [filter, unfreeze]);
  const [isFiltering, setIsFiltering] = useState(!matchesAll(filter));
  const setSearch = (next: FeedSearch) => void navigate({ search: next, replace: true });
  return (
    <div className="page-filling">
      <PageTitle title={isAdmin ? "Live feed" : "My events"}>
        <Text size="sm" c="dimmed" flex="1 1 10rem" truncate>
          {describeConnection(state.connection).detail}
        </Text>
        <Button
          variant="default"
          size="xs"
          aria-expanded={isFiltering}
          onClick={() => setIsFiltering(!isFiltering)}
          leftSection={<IconFilter size={14} aria-hidden />}
        >
          Filter
        </Button>
        <Button
          variant="default"
          size="xs"
          aria-pressed={isPaused}
          onClick={togglePause}
          leftSection={
            isPaused ? <IconPlayerPlay size={14} aria-hidden /> : <IconPlayerPause size={14} aria-hidden />
          }
        >
          {isPaused ? `Resume${list.nNew > 0 ? ` (${count(list.nNew)} new)` : ""}` : "Pause"}
        </Button>
      </PageTitle>
      <Suspense fallback={<div className="filter-bar" />}>
        {isFiltering && <FilterBar search={search} onChange={setSearch} withUser={isAdmin} />}
      </Suspense>
      {state.notice && (
        <Alert
          color="yellow"
          mb="xs"
          withCloseButton
          closeButtonLabel="Dismiss"
          onClose={() => feed.dismissNotice()}
        >
          {state.notice}
        </Alert>
      )}
      <EventList
        list={list}
        label="Events, newest first"
        isPaused={isPaused}
        footer={<Footer state={state} filter={filter} nShown={list.items.length} />}
      />
    </div>
  );
}

interface FooterProps {
  state: FeedState;
  filter: FeedFilter;
  nShown: number;
}

function Footer({ state, filter, nShown }: FooterProps) {
  const { api, feed } = useApp();
  const older = useMutation({ mutationFn: () => loadOlder(api, feed) });
  const { items, from } = state.buffer;
  const isFull = items.length >= CAPACITY;
  const hasOlder = from !== null && from.sequence > 0 && !isFull;
  if (nShown === 0 && (state.connection.state === "connecting" || state.connection.state === "catching-up")) {
    return <Loading what="events" />;
  }
  return (
    <>
      {nShown === 0 && <NoEvents filter={filter} nSearched={items.length} />}
      {older.error && <ProblemAlert error={older.error} />}
      <Center py="sm" c="dimmed" fz="sm">
        {hasOlder && (
          <Button variant="default" size="xs" loading={older.isPending} onClick={() => older.mutate()}>
            Load older events
          </Button>
        )}
        {isFull &&
          `This page keeps the newest ${count(CAPACITY)} events. For older ones, open a user or a group.`}
        {!hasOlder && !isFull && nShown > 0 && "There are no earlier events."}
      </Center>
    </>
  );
}

function NoEvents({ filter, nSearched }: { filter: FeedFilter; nSearched: number }) {
  if (matchesAll(filter)) {
    return (
      <Empty title="No events yet">
        Register or change a user in authentik; new events appear here immediately.
      </Empty>
    );
  }
  return (
    <Empty title="No matching events">
      None of the newest {count(nSearched)} events matches the filter. New matching events appear here
      immediately.
    </Empty>
  );
}
