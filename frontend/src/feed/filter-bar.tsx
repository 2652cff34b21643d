import { Button, Group, MultiSelect } from "@mantine/core";
import { EVENT_TYPES } from "../event/types.gen.ts";
import { UserPicker } from "../users/user-picker.tsx";
import type { FeedSearch } from "./filter.ts";

interface Props {
  search: FeedSearch;
  onChange: (search: FeedSearch) => void;
  withUser: boolean;
}

export function FilterBar({ search, onChange, withUser }: Props) {
  const types = search.type?.split(",") ?? [];
  const change = (types: string[], user: number | undefined) =>
    onChange({ ...(types.length > 0 ? { type: types.join(",") } : {}), ...(user ? { user } : {}) });
  const isFiltered = types.length > 0 || search.user !== undefined;
  return (
    <Group mb="xs" gap="xs" align="start" className="filter-bar">
      <MultiSelect
        aria-label="Event types"
        placeholder={types.length > 0 ? "" : "All types"}
        data={EVENT_TYPES}
        value={types}
        onChange={(value) => change(value, search.user)}
        size="xs"
        flex="1 1 14rem"
        searchable
        clearable
        clearButtonProps={{ "aria-label": "Clear types" }}
      />
      {withUser && (
        <UserPicker value={search.user ?? null} onChange={(user) => change(types, user ?? undefined)} />
      )}
      <Button size="xs" variant="subtle" disabled={!isFiltered} onClick={() => onChange({})}>
        Clear filters
      </Button>
    </Group>
  );
}
