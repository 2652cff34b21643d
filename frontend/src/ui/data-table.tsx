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
import { Pager } from "./pager.tsx";
import { Wide } from "./wide.tsx";

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
  /** How to get further rows, where there are any. */
  more: (() => void) | null;
  /** Called when rows are to be in another order, for which all must be there. */
  onSort: () => void;
}

/** A table that is sorted and paged in the browser, over rows that come a page at a time. */
export function DataTable<T extends object>({ label, rows, columns, rowId, more, onSort }: Props<T>) {
  const table = useTable({
    features,
    data: rows,
    columns,
    getRowId: rowId,
    // Rows change while somebody reads the third page.
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
    if (page >= last && more) more();
    table.setPageIndex(Math.min(page, last));
  };
  return (
    <>
      <Wide label={label}>
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
      </Wide>
      <Pager index={index} size={PAGE_SIZE} nRows={rows.length} hasMore={more !== null} onGoTo={goTo} />
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

function unreachable(direction: never): never {
  throw new Error(`a direction that nobody thought of: ${JSON.stringify(direction)}`);
}
