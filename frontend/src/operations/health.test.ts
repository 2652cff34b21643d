import { describe, expect, it } from "vitest";
import { findings, type Status } from "./health.ts";

const HEALTHY: Status = {
  connected: true,
  epoch: "e",
  projectors: [{ id: "one", ready: true, failures: {} }],
  backlog: { pending: 0, in_hand: 1 },
  projections: [{ name: "users", generation: 1, checkpoint: 9, lag: 0 }],
  feed: { sequence: 9, lag: 0 },
  users: { sequence: 9, lag: 0 },
  groups: { sequence: 9, lag: 0 },
  activity: { sequence: 9, lag: 0 },
  dead_letters: { messages: 0, bytes: 0, first_sequence: 0, last_sequence: 0 },
} as unknown as Status;

function levels(change: Partial<Status>): Record<string, string> {
  return Object.fromEntries(findings({ ...HEALTHY, ...change }).map(({ title, level }) => [title, level]));
}

describe("findings", () => {
  it("finds a healthy system good", () => {
    expect(new Set(Object.values(levels({})))).toEqual(new Set(["good"]));
  });

  it.each<[string, Partial<Status>, string, string]>([
    ["NATS is away", { connected: false }, "NATS", "bad"],
    ["no projector responds", { projectors: [] }, "Projectors", "bad"],
    [
      "a projector is not ready",
      { projectors: [{ id: "one", ready: false, failures: { authentik: "403" } }] },
      "Projectors",
      "bad",
    ],
    [
      "many deliveries wait",
      { backlog: { pending: 5_000, in_hand: 32 } as Status["backlog"] },
      "Backlog",
      "busy",
    ],
    ["no projector reports the backlog", { backlog: null }, "Backlog", "unknown"],
    ["a projection lags", { users: { sequence: 1, lag: 500 } }, "Projections", "busy"],
    [
      "there are dead letters",
      { dead_letters: { messages: 2, bytes: 9, first_sequence: 1, last_sequence: 2 } },
      "Dead letters",
      "bad",
    ],
  ])("reports when %s", (_, change, title, level) => {
    expect(levels(change)[title]).toBe(level);
  });
});
