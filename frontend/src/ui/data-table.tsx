import { Group, Table, Text, UnstyledButton } from "@mantine/core";
import { IconArrowDown, IconArrowsSort, IconArrowUp } from "@tabler/icons-react";
import {
  type ColumnDef,
  createPaginatedRowModel,
  createSortedRowModel,
  type Header,
  rowPaginationFeature,
  rowSortingFeature,
  sortFn_alphanumeric,
  sortFn_basic,
  sortFn_text,
  tableFeatures,
  useTable,
} from "@tanstack/react-table";
import { useEffect } from "react";
import { unreachable } from "../unreachable.ts";
import { Pager } from "./pager.tsx";
import { HorizontalScroll } from "./scroll-table.tsx";

export const features = tableFeatures({
  rowSortingFeature,
  rowPaginationFeature,
  sortedRowModel: createSortedRowModel(),
  paginatedRowModel: createPaginatedRowModel(),
  sortFns: { alphanumeric: sortFn_alphanumeric, basic: sortFn_basic, text: sortFn_text },
});

const PAGE_SIZE = 50;

interface Props<T extends object> {
  label: string;
  rows: T[];
  columns: ColumnDef<typeof features, T>[];
  rowId: (row: T) => string;
  /** Loads more rows; null when all are loaded. */
  loadMore: (() => void) | null;
  /** Called when the user sorts the table, which needs all rows. */
  onSort: () => void;
}

/** A table that the browser sorts and pages, while its rows are loaded in parts. */
export function DataTable<T extends object>({ label, rows, columns, rowId, loadMore, onSort }: Props<T>) {
  const table = useTable({
    features,
    data: rows,
    columns,
    getRowId: rowId,
    // Keep the current page when rows change.
    autoResetPageIndex: false,
    initialState: { pagination: { pageIndex: 0, pageSize: PAGE_SIZE } },
  });
  const { sorting, pagination } = table.state;
  const isSorted = sorting.length > 0;
  useEffect(() => {
    if (isSorted) onSort();
  }, [isSorted, onSort]);
  const last = Math.max(Math.ceil(rows.length / PAGE_SIZE) - 1, 0);
  const index = Math.min(pagination.pageIndex, last);
  useEffect(() => {
    if (index !== pagination.pageIndex) table.setPageIndex(index);
  }, [index, pagination.pageIndex, table]);
  const goTo = (page: number) => {
    if (page >= last && loadMore) loadMore();
    table.setPageIndex(Math.min(page, last));
  };
  return (
    <>
      <HorizontalScroll label={label}>
        <Table stickyHeader verticalSpacing={5} fz="sm" highlightOnHover aria-label={label}>
          <Table.Thead>
            {table.getHeaderGroups().map((group) => (
              <Table.Tr key={group.id}>
                {group.headers.map((header) => (
                  <HeaderCell key={header.id} header={header} name={<table.FlexRender header={header} />} />
                ))}
              </Table.Tr>
            ))}
          </Table.Thead>
          <Table.Tbody>
            {table.getRowModel().rows.map((row) => (
              <Table.Tr key={row.id}>
                {row.getAllCells().map((cell) => (
                  <Table.Td key={cell.id}>
                    <table.FlexRender cell={cell} />
                  </Table.Td>
                ))}
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </HorizontalScroll>
      <Pager index={index} size={PAGE_SIZE} nRows={rows.length} hasMore={loadMore !== null} onGoTo={goTo} />
    </>
  );
}

interface HeaderProps<T extends object> {
  header: Header<typeof features, T>;
  name: React.ReactNode;
}

function HeaderCell<T extends object>({ header, name }: HeaderProps<T>) {
  const direction = header.column.getIsSorted();
  if (!header.column.getCanSort()) return <Table.Th scope="col">{name}</Table.Th>;
  return (
    <Table.Th
      scope="col"
      aria-sort={direction === false ? "none" : direction === "asc" ? "ascending" : "descending"}
    >
      <UnstyledButton fz="sm" fw={700} onClick={() => header.column.toggleSorting()}>
        <Group gap={4} wrap="nowrap">
          <Text inherit>{name}</Text>
          <SortIcon direction={direction} />
        </Group>
      </UnstyledButton>
    </Table.Th>
  );
}

function SortIcon({ direction }: { direction: false | "asc" | "desc" }) {
  switch (direction) {
    case "asc":
      return <IconArrowUp size={14} aria-hidden />;
    case "desc":
      return <IconArrowDown size={14} aria-hidden />;
    case false:
      return <IconArrowsSort size={14} aria-hidden opacity={0.4} />;
    default:
      return unreachable(direction);
  }
}
