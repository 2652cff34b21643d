import { describe, expect, it } from "vitest";
import { rowsOf, SERIES } from "./series.ts";

const now = new Date("2026-11-23T00:30:00Z");
const index = (label: string) => SERIES.findIndex((series) => series.label === label);

describe("rowsOf", () => {
  it("returns a row for each UTC day up to today", () => {
    const rows = rowsOf({ days: [], as_of: "e-0" }, 3, now);
    expect(rows.map(({ day }) => day)).toEqual(["2026-11-21", "2026-11-22", "2026-11-23"]);
    expect(rows.every(({ total }) => total === 0)).toBe(true);
  });

  it("counts the events of each series, and all types in the total", () => {
    const counts = { "user-logged-in": 5, "user-login-failed": 2, "group-created": 1 };
    const [, yesterday] = rowsOf(
      { days: [{ day: "2026-11-22", sequence: 9, counts }], as_of: "e-9" },
      3,
      now,
    );
    expect(yesterday?.counts[index("Logins")]).toBe(5);
    expect(yesterday?.counts[index("Failed logins")]).toBe(2);
    expect(yesterday?.total).toBe(8);
  });
});
