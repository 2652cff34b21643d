import { Button, Group, NativeSelect } from "@mantine/core";
import { useInfiniteQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import type { ColumnDef } from "@tanstack/react-table";
import type { Schemas } from "../api/client.ts";
import { usersQuery } from "../api/queries.ts";
import { useApp } from "../app/context.tsx";
import type { features } from "../ui/data-table.tsx";
import { DebouncedInput } from "../ui/debounced-input.tsx";
import { UserLink } from "../ui/links.tsx";
import { Empty, PageTitle } from "../ui/messages.tsx";
import { PagedTable } from "../ui/paged-table.tsx";
import { Time } from "../ui/time.tsx";
import type { UsersSearch } from "./search.ts";
import { StatusBadge } from "./status-badge.tsx";
import { GroupNames } from "./user-properties.tsx";

type UserView = Schemas["UserView"];

const COLUMNS: ColumnDef<typeof features, UserView>[] = [
  {
    id: "name",
    header: "Name",
    accessorFn: ({ pk, user }) => user?.name || user?.username || `user ${pk}`,
    sortFn: "text",
    cell: ({ row, getValue }) => (
      <UserLink pk={row.original.pk} size="sm" fw={500}>
        {String(getValue())}
      </UserLink>
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
    accessorFn: ({ user }) => typeName(user?.type ?? ""),
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

const usersOf = ({ users }: Schemas["UserList"]) => users;

export function UsersPage() {
  const { api } = useApp();
  const search = useSearch({ from: "/users" });
  const navigate = useNavigate({ from: "/users" });
  const query = useInfiniteQuery(usersQuery(api, search));
  const types = query.data?.pages.flatMap(usersOf).map(({ user }) => user?.type ?? "") ?? [];
  return (
    <>
      <PageTitle title="Users" />
      <Filters
        search={search}
        types={types}
        onChange={(next) => void navigate({ search: next, replace: true })}
      />
      <PagedTable
        label="Users"
        query={query}
        rowsOf={usersOf}
        columns={COLUMNS}
        rowId={({ pk }) => String(pk)}
        empty={<NoUsers isFiltered={Object.keys(search).length > 0} />}
      />
    </>
  );
}

function NoUsers({ isFiltered }: { isFiltered: boolean }) {
  if (isFiltered) {
    return (
      <Empty title="No users match">Search for a part of a name or address, or clear the filters.</Empty>
    );
  }
  return (
    <Empty title="No users recorded yet">
      Users appear here after the projector's first reconciliation with authentik.
    </Empty>
  );
}

interface FiltersProps {
  search: UsersSearch;
  /** The types of the users in the table. */
  types: readonly string[];
  onChange: (search: UsersSearch) => void;
}

const STATUSES = [
  { value: "", label: "Not deleted" },
  { value: "active", label: "Active" },
  { value: "inactive", label: "Inactive" },
  { value: "deleted", label: "Deleted" },
  { value: "erased", label: "Erased" },
];

const KNOWN_TYPES = ["internal", "external", "service_account", "internal_service_account"];

/** The types to choose from. A newer authentik has types that this version does not know. */
function typeOptions(used: readonly string[]) {
  const types = [...new Set([...KNOWN_TYPES, ...used])].filter((type) => type !== "");
  const options = types.map((value) => ({ value, label: typeName(value) }));
  return [{ value: "", label: "All types" }, ...options];
}

function typeName(type: string): string {
  return type.replaceAll("_", " ");
}

function Filters({ search, types, onChange }: FiltersProps) {
  const set = (name: keyof UsersSearch, value: string) => {
    const { [name]: _, ...others } = search;
    onChange(value ? { ...others, [name]: value } : others);
  };
  const selects = [
    { name: "status", label: "Status", data: STATUSES },
    { name: "type", label: "Type", data: typeOptions([...types, search.type ?? ""]) },
  ] as const;
  return (
    <Group gap="xs" mb="xs" role="search">
      <DebouncedInput
        size="xs"
        flex="2 1 12rem"
        type="search"
        aria-label="Search users"
        placeholder="Name, username or e-mail"
        value={search.search ?? ""}
        onChange={(text) => set("search", text)}
      />
      {selects.map(({ name, label, data }) => (
        <NativeSelect
          key={name}
          size="xs"
          aria-label={label}
          data={data}
          value={search[name] ?? ""}
          onChange={({ currentTarget }) => set(name, currentTarget.value)}
        />
      ))}
      <DebouncedInput
        size="xs"
        flex="1 1 8rem"
        aria-label="Group"
        placeholder="Group name"
        value={search.group ?? ""}
        onChange={(text) => set("group", text)}
      />
      <Button
        size="xs"
        variant="subtle"
        disabled={Object.keys(search).length === 0}
        onClick={() => onChange({})}
      >
        Clear filters
      </Button>
    </Group>
  );
}
