import { Alert, Button, Center, Text } from "@mantine/core";
import { IconFilter, IconPlayerPause, IconPlayerPlay } from "@tabler/icons-react";
import { useMutation } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { lazy, Suspense, useEffect, useMemo, useState, useSyncExternalStore } from "react";
import { useApp, useIsAdmin } from "../app/context.tsx";
import { count } from "../ui/format.ts";
import { Empty, Loading, PageTitle, ProblemAlert } from "../ui/messages.tsx";
import { CAPACITY } from "./buffer.ts";
import { lookOf } from "./connection-badge.tsx";
import { EventList } from "./event-list.tsx";
import { type FeedFilter, type FeedSearch, filterOf, isAny } from "./filter.ts";
import { useHold } from "./hold.ts";
import { loadOlder } from "./older.ts";
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
  const shown = useHold(state.buffer.items, filter);
  const { hold, release } = shown;
  const pause = () => {
    if (isPaused) release();
    else hold();
    setIsPaused(!isPaused);
  };
  // biome-ignore lint/correctness/useExhaustiveDependencies: another filter shows another list
  useEffect(() => {
    if (!isPaused) release();
  }, [filter, release]);
  const [isFiltering, setIsFiltering] = useState(!isAny(filter));
  const setSearch = (next: FeedSearch) => void navigate({ search: next, replace: true });
  return (
    <div className="page-filling">
      <PageTitle title={isAdmin ? "Live feed" : "My events"}>
        <Text size="sm" c="dimmed" flex="1 1 10rem" truncate>
          {lookOf(state.connection).detail}
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
          onClick={pause}
          leftSection={
            isPaused ? <IconPlayerPlay size={14} aria-hidden /> : <IconPlayerPause size={14} aria-hidden />
          }
        >
          {isPaused ? `Go on${shown.nNew > 0 ? ` (${count(shown.nNew)} new)` : ""}` : "Pause"}
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
        shown={shown}
        label="Events, newest first"
        isPaused={isPaused}
        footer={<Footer state={state} filter={filter} nShown={shown.items.length} />}
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
      {nShown === 0 && <NothingShown filter={filter} nLookedAt={items.length} />}
      {older.error && <ProblemAlert error={older.error} />}
      <Center py="sm" c="dimmed" fz="sm">
        {hasOlder && (
          <Button variant="default" size="xs" loading={older.isPending} onClick={() => older.mutate()}>
            Load older events
          </Button>
        )}
        {isFull &&
          `The last ${count(CAPACITY)} events are kept here; pages of users and groups go further back.`}
        {!hasOlder && !isFull && nShown > 0 && "This is the beginning."}
      </Center>
    </>
  );
}

function NothingShown({ filter, nLookedAt }: { filter: FeedFilter; nLookedAt: number }) {
  if (isAny(filter)) {
    return (
      <Empty title="Nothing has happened yet">
        Sign up somebody, or change a user in authentik: what is recorded appears here at once.
      </Empty>
    );
  }
  return (
    <Empty title="No event matches">
      None of the last {count(nLookedAt)} events passes the filter. A new one that does appears here at once.
    </Empty>
  );
}
