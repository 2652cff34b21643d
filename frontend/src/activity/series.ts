import type { Schemas } from "../api/client.ts";
import type { EventType } from "../event/event.ts";

type Report = Schemas["ActivityReport"];

export interface Series {
  label: string;
  type: EventType;
  /** A CSS variable of Mantine, in a shade that is readable in both themes. */
  color: string;
}

export const SERIES: readonly Series[] = [
  { label: "Registrations", type: "user-registered", color: "--mantine-color-green-6" },
  { label: "Logins", type: "user-logged-in", color: "--mantine-color-blue-5" },
  { label: "Failed logins", type: "user-login-failed", color: "--mantine-color-orange-6" },
  { label: "Deletions", type: "user-deleted", color: "--mantine-color-red-6" },
];

export interface Row {
  /** `YYYY-MM-DD` in UTC. */
  day: string;
  /** One count for each of `SERIES`. */
  counts: number[];
  total: number;
}

const DAY_MS = 86_400_000;

/** One row for each day up to today, including days without events. */
export function rowsOf(report: Report, nDays: number, now: Date): Row[] {
  const byDay = new Map(report.days.map((day) => [day.day, day.counts]));
  return Array.from({ length: nDays }, (_, index) => {
    const day = new Date(now.getTime() - (nDays - 1 - index) * DAY_MS).toISOString().slice(0, 10);
    const counts = byDay.get(day) ?? {};
    return {
      day,
      counts: SERIES.map(({ type }) => counts[type] ?? 0),
      total: Object.values(counts).reduce((sum, n) => sum + n, 0),
    };
  });
}
