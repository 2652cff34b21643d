import { TextInput } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { useInfiniteQuery } from "@tanstack/react-query";
import type { ColumnDef } from "@tanstack/react-table";
import { useState } from "react";
import type { Schemas } from "../api/client.ts";
import { groupsQuery } from "../api/queries.ts";
import { useApp } from "../app/context.tsx";
import type { features } from "../ui/data-table.tsx";
import { GroupLink } from "../ui/links.tsx";
import { Empty, PageTitle } from "../ui/messages.tsx";
import { PagedTable } from "../ui/paged-table.tsx";
import { Time } from "../ui/time.tsx";

type GroupView = Schemas["GroupView"];

const COLUMNS: ColumnDef<typeof features, GroupView>[] = [
  {
    id: "name",
    header: "Name",
    accessorFn: ({ uuid, group }) => group?.name ?? uuid,
    sortFn: "text",
    cell: ({ row, getValue }) => (
      <GroupLink uuid={row.original.uuid} size="sm" fw={500}>
        {String(getValue())}
      </GroupLink>
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

const groupsOf = ({ groups }: Schemas["GroupList"]) => groups;

export function GroupsPage() {
  const { api } = useApp();
  const [text, setText] = useState("");
  const [search] = useDebouncedValue(text.trim(), 250);
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
      <PagedTable
        label="Groups"
        query={useInfiniteQuery(groupsQuery(api, search))}
        rowsOf={groupsOf}
        columns={COLUMNS}
        rowId={({ uuid }) => uuid}
        empty={
          <Empty title={search ? "No groups match" : "No groups recorded yet"}>
            {search
              ? "Search for a part of the group's name."
              : "Groups appear here after the projector's first reconciliation with authentik."}
          </Empty>
        }
      />
    </>
  );
}
