export const DAYS: readonly number[] = [7, 30, 90, 365];

export const DEFAULT_DAYS = 30;

/** Reads the number of days from the URL's search parameters. */
export function parseActivitySearch(search: Record<string, unknown>): { days?: number } {
  const days = DAYS.find((known) => known === Number(search.days));
  return days === undefined ? {} : { days };
}
