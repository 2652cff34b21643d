import { describe, expect, it } from "vitest";
import { SAMPLES, sample } from "../event/samples.ts";
import {
  advance,
  append,
  type Buffer,
  CAPACITY,
  EMPTY,
  formatCursor,
  parseCursor,
  prepend,
  type Received,
} from "./buffer.ts";
import { upTo } from "./freezable-list.ts";

const registered = sample("user-registered");

function received(sequence: number, epoch = "e"): Received {
  return { event: { ...registered, id: `${epoch}-${sequence}` }, cursor: { epoch, sequence } };
}

function ids({ items }: Buffer): string[] {
  return items.map(({ id }) => id);
}

describe("append", () => {
  it("keeps events in order, with the positions before the first and of the last", () => {
    const buffer = append(EMPTY, [received(4), received(7)]);
    expect(ids(buffer)).toEqual(["e-4", "e-7"]);
    expect(buffer.from).toEqual({ epoch: "e", sequence: 3 });
    expect(buffer.last).toEqual({ epoch: "e", sequence: 7 });
  });

  it.each(SAMPLES)("adds a golden %s once", (name) => {
    const one = { event: sample(name), cursor: { epoch: "e", sequence: 1 } };
    expect(append(append(EMPTY, [one]), [one]).items).toHaveLength(1);
  });

  it("drops events that were received before, also within one batch", () => {
    const buffer = append(EMPTY, [received(4), received(4), received(5)]);
    expect(append(buffer, [received(4), received(5)])).toBe(buffer);
    expect(ids(append(buffer, [received(5), received(6)]))).toEqual(["e-4", "e-5", "e-6"]);
  });

  it("drops the oldest events beyond its capacity and moves the start", () => {
    const many = Array.from({ length: CAPACITY + 5 }, (_, n) => received(n + 1));
    const buffer = append(EMPTY, many);
    expect(buffer.items).toHaveLength(CAPACITY);
    expect(buffer.from).toEqual({ epoch: "e", sequence: 5 });
  });
});

describe("advance", () => {
  it("moves past filtered events and never back", () => {
    const buffer = append(EMPTY, [received(4)]);
    const moved = advance(buffer, { epoch: "e", sequence: 9 });
    expect(moved.last?.sequence).toBe(9);
    expect(advance(moved, { epoch: "e", sequence: 8 })).toBe(moved);
    expect(append(moved, [received(9)])).toBe(moved);
  });
});

describe("prepend", () => {
  it("puts older events first, each once", () => {
    const buffer = append(EMPTY, [received(4)]);
    const older = [received(2).event, received(4).event];
    const whole = prepend(buffer, older, { epoch: "e", sequence: 1 });
    expect(ids(whole)).toEqual(["e-2", "e-4"]);
    expect(whole.from?.sequence).toBe(1);
    expect(whole.last?.sequence).toBe(4);
  });
});

describe("a cursor", () => {
  it("survives formatting and parsing", () => {
    const cursor = { epoch: "5f3c-a", sequence: 42 };
    expect(parseCursor(formatCursor(cursor))).toEqual(cursor);
  });

  it.each(["", "42", "-42", "e-", "e-x"])("is null or at sequence 0 when parsed from %j", (text) => {
    const cursor = parseCursor(text);
    expect(cursor === null || cursor.sequence === 0).toBe(true);
  });
});

describe("a frozen list", () => {
  const { items } = append(EMPTY, [received(1), received(2), received(3)]);

  it("shows the events up to where it was frozen", () => {
    expect(upTo(items, "e-2").map(({ id }) => id)).toEqual(["e-1", "e-2"]);
    expect(upTo(items, null)).toEqual([]);
  });

  it("shows all events once the event that it was frozen at was dropped", () => {
    expect(upTo(items, "gone")).toEqual(items);
  });
});
