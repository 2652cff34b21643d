export const DAYS: readonly number[] = [7, 30, 90, 365];

export const DEFAULT_DAYS = 30;

/** How many days a chart covers, as it stands in the address of the page. */
export function parseActivitySearch(search: Record<string, unknown>): { days?: number } {
  const days = DAYS.find((known) => known === Number(search.days));
  return days === undefined ? {} : { days };
}
