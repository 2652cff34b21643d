import { Alert, Anchor, Button, Group, NativeSelect } from "@mantine/core";
import { useInfiniteQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import type { ColumnDef } from "@tanstack/react-table";
import { useMemo } from "react";
import type { Schemas } from "../api/client.ts";
import { usersQuery } from "../api/queries.ts";
import { useApp } from "../app/context.tsx";
import { MAX_SORTED, useAllPages } from "../ui/all-pages.ts";
import { DataTable, type features } from "../ui/data-table.tsx";
import { count } from "../ui/format.ts";
import { LateInput } from "../ui/late-input.tsx";
import { Empty, Loading, PageTitle, ProblemAlert } from "../ui/messages.tsx";
import { Time } from "../ui/time.tsx";
import type { UsersSearch } from "./search.ts";
import { StatusBadge } from "./status-badge.tsx";
import { GroupNames } from "./user-facts.tsx";

type UserView = Schemas["UserView"];

const COLUMNS: ColumnDef<typeof features, UserView>[] = [
  {
    id: "name",
    header: "Name",
    accessorFn: ({ pk, user }) => user?.name || user?.username || `user ${pk}`,
    sortFn: "text",
    cell: ({ row, getValue }) => (
      <Anchor
        size="sm"
        fw={500}
        renderRoot={(props) => <Link {...props} to="/users/$pk" params={{ pk: String(row.original.pk) }} />}
      >
        {String(getValue())}
      </Anchor>
    ),
  },
  { id: "username", header: "Username", accessorFn: ({ user }) => user?.username ?? "", sortFn: "text" },
  { id: "email", header: "E-mail", accessorFn: ({ user }) => user?.email ?? "", sortFn: "text" },
  {
    id: "status",
    header: "Status",
    accessorFn: ({ status }) => status,
    sortFn: "text",
    cell: ({ row }) => <StatusBadge status={row.original.status} />,
  },
  {
    id: "type",
    header: "Type",
    accessorFn: ({ user }) => user?.type.replaceAll("_", " ") ?? "",
    sortFn: "text",
  },
  {
    id: "groups",
    header: "Groups",
    enableSorting: false,
    accessorFn: ({ user }) => user?.groups.length ?? 0,
    cell: ({ row }) => row.original.user && <GroupNames user={row.original.user} />,
  },
  {
    id: "last_event",
    header: "Last event",
    accessorFn: ({ last_event }) => last_event,
    sortFn: "basic",
    cell: ({ row }) => <Time time={row.original.last_event} />,
  },
];

export function UsersPage() {
  const { api } = useApp();
  const search = useSearch({ from: "/users" });
  const navigate = useNavigate({ from: "/users" });
  const found = useInfiniteQuery(usersQuery(api, search));
  const rows = useMemo(() => found.data?.pages.flatMap((page) => page.users) ?? [], [found.data]);
  const { want, isCut } = useAllPages(found, rows.length);
  const change = (next: UsersSearch) => void navigate({ search: next, replace: true });
  return (
    <>
      <PageTitle title="Users" />
      <Filters search={search} onChange={change} />
      {found.error && <ProblemAlert error={found.error} onRetry={() => void found.refetch()} />}
      {isCut && (
        <Alert mb="xs">Sorted are the first {count(MAX_SORTED)} users. Search to narrow them down.</Alert>
      )}
      {found.isPending && <Loading what="users" />}
      {found.data && rows.length === 0 && <NoUsers isFiltered={Object.keys(search).length > 0} />}
      {rows.length > 0 && (
        <DataTable
          label="Users"
          rows={rows}
          columns={COLUMNS}
          rowId={({ pk }) => String(pk)}
          more={found.hasNextPage ? () => void found.fetchNextPage() : null}
          onSort={want}
        />
      )}
    </>
  );
}

function NoUsers({ isFiltered }: { isFiltered: boolean }) {
  if (isFiltered)
    return <Empty title="Nobody matches">Search for a part of a name or an address, or show all.</Empty>;
  return (
    <Empty title="Nobody is recorded yet">
      Users appear here as soon as the projector has compared authentik.
    </Empty>
  );
}

interface FiltersProps {
  search: UsersSearch;
  onChange: (search: UsersSearch) => void;
}

const STATUSES = [
  { value: "", label: "Present" },
  { value: "active", label: "Active" },
  { value: "inactive", label: "Inactive" },
  { value: "deleted", label: "Deleted" },
  { value: "erased", label: "Erased" },
];

const TYPES = [
  { value: "", label: "All types" },
  ...["internal", "external", "service_account", "internal_service_account"].map((value) => ({
    value,
    label: value.replaceAll("_", " "),
  })),
];

function Filters({ search, onChange }: FiltersProps) {
  const set = (name: keyof UsersSearch, value: string) => {
    const { [name]: _, ...others } = search;
    onChange(value ? { ...others, [name]: value } : others);
  };
  return (
    <Group gap="xs" mb="xs" role="search">
      <LateInput
        size="xs"
        flex="2 1 12rem"
        type="search"
        aria-label="Search users"
        placeholder="Name, username or e-mail"
        value={search.search ?? ""}
        onChange={(text) => set("search", text)}
      />
      <NativeSelect
        size="xs"
        aria-label="Status"
        data={STATUSES}
        value={search.status ?? ""}
        onChange={({ currentTarget }) => set("status", currentTarget.value)}
      />
      <NativeSelect
        size="xs"
        aria-label="Type"
        data={TYPES}
        value={search.type ?? ""}
        onChange={({ currentTarget }) => set("type", currentTarget.value)}
      />
      <LateInput
        size="xs"
        flex="1 1 8rem"
        aria-label="Group"
        placeholder="Group's name"
        value={search.group ?? ""}
        onChange={(text) => set("group", text)}
      />
      <Button
        size="xs"
        variant="subtle"
        disabled={Object.keys(search).length === 0}
        onClick={() => onChange({})}
      >
        Show all
      </Button>
    </Group>
  );
}
