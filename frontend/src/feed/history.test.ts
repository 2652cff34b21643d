import { expect, it } from "vitest";
import { type Log, pageOf } from "../test/log.ts";
import { CAPACITY } from "./buffer.ts";
import {
  afterOf,
  endOf,
  type HistoryPage,
  hasBeginning,
  itemsOf,
  nextStretch,
  PAGE,
  readPage,
} from "./history.ts";

/** Reads as long as there is something to ask for. */
function read(log: Log, grow: (n: number) => Log = () => log): HistoryPage[] {
  const pages: HistoryPage[] = [];
  for (let stretch = nextStretch(pages); stretch; stretch = nextStretch(pages)) {
    if (pages.length > 500) throw new Error("it never ends");
    const url = new URL(`http://localhost/?after=${afterOf(stretch)}&limit=${PAGE}`);
    pages.push(readPage(pageOf(grow(pages.length), url), stretch));
  }
  return pages;
}

const every = (step: number, from: number, to: number) =>
  Array.from({ length: Math.ceil((to - from) / step) }, (_, n) => from + n * step);

const ids = (pages: readonly HistoryPage[]) => itemsOf(pages).map(({ id }) => id);
const idsOf = (sequences: readonly number[]) => sequences.map((sequence) => `e-${sequence}`);

it("asks once where there is no more than one answer holds", () => {
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
  ["in two parts", [...every(2, 1, 5_000), ...every(3, 8_000_000, 8_009_000)]],
])("comes to the beginning of events that are %s", (_, sequences) => {
  const pages = read({ head: 10_000_000, sequences });
  expect(ids(pages)).toEqual(idsOf(sequences));
  expect(hasBeginning(pages)).toBe(true);
  expect(pages.length).toBeLessThan(80);
});

it.each<[string, number[]]>([
  ["all there is", every(1, 1, 50_001)],
  ["one in a hundred", every(100, 50, 5_000_000)],
  ["a crowd that came long ago", every(1, 1_000_000, 1_060_000)],
])("keeps the newest, without a hole, of too many: %s", (_, sequences) => {
  const pages = read({ head: 5_000_000, sequences });
  const found = ids(pages);
  expect(found.length).toBeGreaterThanOrEqual(CAPACITY);
  expect(found.length).toBeLessThan(CAPACITY + PAGE);
  expect(found).toEqual(idsOf(sequences.slice(-found.length)));
  expect(hasBeginning(pages)).toBe(false);
  expect(pages.length).toBeLessThan(80);
});

it("shows the newest first, and nothing that is not joined to them", () => {
  const sequences = every(1, 1, 20_001);
  const pages = read({ head: 20_000, sequences });
  expect(ids(pages.slice(0, 1))).toEqual([]);
  expect(ids(pages.slice(0, 2))).toEqual(idsOf(sequences.slice(-PAGE)));
});

it("tells once of what is recorded while it reads", () => {
  const log = (n: number) => ({ head: 20_000 + 100 * n, sequences: every(10, 1, 20_000 + 100 * n) });
  const pages = read(log(0), log);
  const found = ids(pages);
  expect(new Set(found).size).toBe(found.length);
  const end = endOf(pages)?.sequence ?? 0;
  expect(end).toBeGreaterThanOrEqual(20_000);
  expect(found).toEqual(idsOf(every(10, 1, end + 1)));
});
