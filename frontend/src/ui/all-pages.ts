import { useCallback, useEffect, useState } from "react";

/** What is sorted in the browser at most. */
export const MAX_SORTED = 10_000;

interface Pages {
  hasNextPage: boolean;
  isFetching: boolean;
  isError: boolean;
  fetchNextPage: () => unknown;
}

/** Fetches all pages, once somebody asks for it: an order is no order over a part of the rows. */
export function useAllPages({ hasNextPage, isFetching, isError, fetchNextPage }: Pages, nRows: number) {
  const [areWanted, setAreWanted] = useState(false);
  const isCut = areWanted && hasNextPage && nRows >= MAX_SORTED;
  useEffect(() => {
    if (areWanted && hasNextPage && !isFetching && !isError && nRows < MAX_SORTED) fetchNextPage();
  }, [areWanted, hasNextPage, isFetching, isError, nRows, fetchNextPage]);
  const want = useCallback(() => setAreWanted(true), []);
  return { want, isCut };
}
