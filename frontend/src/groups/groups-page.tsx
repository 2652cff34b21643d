import { Alert, Anchor, TextInput } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { useInfiniteQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { ColumnDef } from "@tanstack/react-table";
import { useMemo, useState } from "react";
import type { Schemas } from "../api/client.ts";
import { groupsQuery } from "../api/queries.ts";
import { useApp } from "../app/context.tsx";
import { MAX_SORTED, useAllPages } from "../ui/all-pages.ts";
import { DataTable, type features } from "../ui/data-table.tsx";
import { count } from "../ui/format.ts";
import { Empty, Loading, PageTitle, ProblemAlert } from "../ui/messages.tsx";
import { Time } from "../ui/time.tsx";

type GroupView = Schemas["GroupView"];

const COLUMNS: ColumnDef<typeof features, GroupView>[] = [
  {
    id: "name",
    header: "Name",
    accessorFn: ({ uuid, group }) => group?.name ?? uuid,
    sortFn: "text",
    cell: ({ row, getValue }) => (
      <Anchor
        size="sm"
        fw={500}
        renderRoot={(props) => <Link {...props} to="/groups/$uuid" params={{ uuid: row.original.uuid }} />}
      >
        {String(getValue())}
      </Anchor>
    ),
  },
  { id: "members", header: "Members", accessorFn: ({ n_members }) => n_members, sortFn: "basic" },
  {
    id: "superuser",
    header: "Superuser",
    accessorFn: ({ group }) => (group?.is_superuser ? "yes" : "no"),
    sortFn: "text",
  },
  {
    id: "last_event",
    header: "Last event",
    accessorFn: ({ last_event }) => last_event,
    sortFn: "basic",
    cell: ({ row }) => <Time time={row.original.last_event} />,
  },
];

export function GroupsPage() {
  const { api } = useApp();
  const [text, setText] = useState("");
  const [search] = useDebouncedValue(text.trim(), 250);
  const found = useInfiniteQuery(groupsQuery(api, search));
  const rows = useMemo(() => found.data?.pages.flatMap((page) => page.groups) ?? [], [found.data]);
  const { want, isCut } = useAllPages(found, rows.length);
  return (
    <>
      <PageTitle title="Groups">
        <TextInput
          size="xs"
          type="search"
          aria-label="Search groups"
          placeholder="Part of the name"
          value={text}
          onChange={({ currentTarget }) => setText(currentTarget.value)}
        />
      </PageTitle>
      {found.error && <ProblemAlert error={found.error} onRetry={() => void found.refetch()} />}
      {isCut && (
        <Alert mb="xs">Sorted are the first {count(MAX_SORTED)} groups. Search to narrow them down.</Alert>
      )}
      {found.isPending && <Loading what="groups" />}
      {found.data && rows.length === 0 && (
        <Empty title={search ? "No group matches" : "No group is recorded yet"}>
          {search
            ? "Search for a part of its name."
            : "Groups appear here as soon as the projector has compared authentik."}
        </Empty>
      )}
      {rows.length > 0 && (
        <DataTable
          label="Groups"
          rows={rows}
          columns={COLUMNS}
          rowId={({ uuid }) => uuid}
          more={found.hasNextPage ? () => void found.fetchNextPage() : null}
          onSort={want}
        />
      )}
    </>
  );
}
