import { Select } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import type { Schemas } from "../api/client.ts";
import { userQuery, usersQuery } from "../api/queries.ts";
import { useApp } from "../app/context.tsx";

/** How many users are offered at once. */
const N_OFFERED = 20;

interface Props {
  value: number | null;
  onChange: (pk: number | null) => void;
}

/** Selects one user by any part of their names. */
export function UserPicker({ value, onChange }: Props) {
  const { api } = useApp();
  const [isOpen, setIsOpen] = useState(false);
  const [text, setText] = useState("");
  const [typed] = useDebouncedValue(text, 250);
  const selected = useQuery({ ...userQuery(api, value ?? 0), enabled: value !== null });
  // The field shows the label of the selected user, which must not become a search.
  const search = selected.data && typed === labelOf(selected.data) ? "" : typed;
  const found = useInfiniteQuery({ ...usersQuery(api, search ? { search } : {}), enabled: isOpen });
  const users = (found.data?.pages[0]?.users ?? []).slice(0, N_OFFERED);
  const isOffered = users.some(({ pk }) => pk === value);
  const offered =
    value === null || isOffered ? users : [selected.data ?? { pk: value, user: null }, ...users];
  return (
    <Select
      aria-label="User"
      placeholder="All users"
      size="xs"
      flex="1 1 12rem"
      searchable
      clearable
      clearButtonProps={{ "aria-label": "Clear user" }}
      nothingFoundMessage={found.isFetching ? "Searching…" : "No user found"}
      data={offered.map((view) => ({ value: String(view.pk), label: labelOf(view) }))}
      // The API has filtered the users, also by fields that the labels do not show.
      filter={({ options }) => options}
      value={value === null ? null : String(value)}
      onChange={(pk) => onChange(pk === null ? null : Number(pk))}
      onSearchChange={setText}
      onDropdownOpen={() => setIsOpen(true)}
    />
  );
}

function labelOf({ pk, user }: Pick<Schemas["UserView"], "pk" | "user">): string {
  return user ? `${user.name || user.username} (${user.username})` : `user ${pk}`;
}
