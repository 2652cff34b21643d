import { expect, it } from "vitest";
import { type Log, pageOf } from "../test/fake-log.ts";
import { CAPACITY } from "./buffer.ts";
import {
  afterOf,
  endOf,
  type HistoryPage,
  hasBeginning,
  itemsOf,
  nextRange,
  PAGE,
  readPage,
} from "./history.ts";

/** Reads the history until it is complete or truncated. `grow` gives the log at the n-th request. */
function read(log: Log, grow: (n: number) => Log = () => log): HistoryPage[] {
  const pages: HistoryPage[] = [];
  for (let range = nextRange(pages); range; range = nextRange(pages)) {
    if (pages.length > 500) throw new Error("reading does not end");
    const url = new URL(`http://localhost/?after=${afterOf(range)}&limit=${PAGE}`);
    pages.push(readPage(pageOf(grow(pages.length), url), range));
  }
  return pages;
}

const every = (step: number, from: number, to: number) =>
  Array.from({ length: Math.ceil((to - from) / step) }, (_, n) => from + n * step);

const ids = (pages: readonly HistoryPage[]) => itemsOf(pages).map(({ id }) => id);
const idsAt = (sequences: readonly number[]) => sequences.map((sequence) => `e-${sequence}`);

it("reads a short history with one request", () => {
  const pages = read({ head: 1_000_000, sequences: [3, 70_000, 999_999] });
  expect(pages).toHaveLength(1);
  expect(ids(pages)).toEqual(["e-3", "e-70000", "e-999999"]);
  expect(hasBeginning(pages)).toBe(true);
  expect(endOf(pages)).toEqual({ epoch: "e", sequence: 1_000_000 });
});

it.each<[string, number[]]>([
  ["dense", every(1, 1, 9_000)],
  ["sparse", every(1_000, 7, 9_000_000)],
  ["recent", every(1, 9_990_000, 9_999_000)],
  ["old", every(1, 1, 9_000)],
  ["two blocks of", [...every(2, 1, 5_000), ...every(3, 8_000_000, 8_009_000)]],
])("reads %s events back to the beginning", (_, sequences) => {
  const pages = read({ head: 10_000_000, sequences });
  expect(ids(pages)).toEqual(idsAt(sequences));
  expect(hasBeginning(pages)).toBe(true);
  expect(pages.length).toBeLessThan(80);
});

it.each<[string, number[]]>([
  ["every event of the log", every(1, 1, 50_001)],
  ["one in a hundred events", every(100, 50, 5_000_000)],
  ["a block of old events", every(1, 1_000_000, 1_060_000)],
])("keeps the newest events without a gap: %s", (_, sequences) => {
  const pages = read({ head: 5_000_000, sequences });
  const found = ids(pages);
  expect(found.length).toBeGreaterThanOrEqual(CAPACITY);
  expect(found.length).toBeLessThan(CAPACITY + PAGE);
  expect(found).toEqual(idsAt(sequences.slice(-found.length)));
  expect(hasBeginning(pages)).toBe(false);
  expect(pages.length).toBeLessThan(80);
});

it("shows the newest page first, and nothing that is separated from it by a gap", () => {
  const sequences = every(1, 1, 20_001);
  const pages = read({ head: 20_000, sequences });
  expect(ids(pages.slice(0, 1))).toEqual([]);
  expect(ids(pages.slice(0, 2))).toEqual(idsAt(sequences.slice(-PAGE)));
});

it("contains each event that is recorded during the read once", () => {
  const log = (n: number) => ({ head: 20_000 + 100 * n, sequences: every(10, 1, 20_000 + 100 * n) });
  const pages = read(log(0), log);
  const found = ids(pages);
  expect(new Set(found).size).toBe(found.length);
  const end = endOf(pages)?.sequence ?? 0;
  expect(end).toBeGreaterThanOrEqual(20_000);
  expect(found).toEqual(idsAt(every(10, 1, end + 1)));
});
