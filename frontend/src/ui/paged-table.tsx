import { Alert } from "@mantine/core";
import type { InfiniteData, UseInfiniteQueryResult } from "@tanstack/react-query";
import type { ColumnDef } from "@tanstack/react-table";
import { type ReactNode, useCallback, useEffect, useMemo, useState } from "react";
import { DataTable, type features } from "./data-table.tsx";
import { count } from "./format.ts";
import { Loading, ProblemAlert } from "./messages.tsx";

/** The most rows that are fetched for sorting. */
const MAX_SORTED = 10_000;

interface Props<Page, Row extends object> {
  label: string;
  query: UseInfiniteQueryResult<InfiniteData<Page>>;
  /** Must be stable between renders. */
  rowsOf: (page: Page) => Row[];
  columns: ColumnDef<typeof features, Row>[];
  rowId: (row: Row) => string;
  /** Shown when the query finds no rows. */
  empty: ReactNode;
}

/** A table over a paged query. Sorting fetches all pages first, since a partial list has no meaningful order. */
export function PagedTable<Page, Row extends object>(props: Props<Page, Row>) {
  const { label, query, rowsOf, columns, rowId, empty } = props;
  const { data, error, hasNextPage, isFetching, isError, fetchNextPage } = query;
  const rows = useMemo(() => data?.pages.flatMap<Row>(rowsOf) ?? [], [data, rowsOf]);
  const [needsAll, setNeedsAll] = useState(false);
  const isTruncated = needsAll && hasNextPage && rows.length >= MAX_SORTED;
  useEffect(() => {
    if (needsAll && hasNextPage && !isFetching && !isError && rows.length < MAX_SORTED) fetchNextPage();
  }, [needsAll, hasNextPage, isFetching, isError, rows.length, fetchNextPage]);
  const fetchAll = useCallback(() => setNeedsAll(true), []);
  return (
    <>
      {error && <ProblemAlert error={error} onRetry={() => void query.refetch()} />}
      {isTruncated && (
        <Alert mb="xs">
          Only the first {count(MAX_SORTED)} {label.toLowerCase()} are sorted. Search to narrow the list.
        </Alert>
      )}
      {query.isPending && <Loading what={label.toLowerCase()} />}
      {data && rows.length === 0 && empty}
      {rows.length > 0 && (
        <DataTable
          label={label}
          rows={rows}
          columns={columns}
          rowId={rowId}
          loadMore={hasNextPage ? () => void fetchNextPage() : null}
          onSort={fetchAll}
        />
      )}
    </>
  );
}
