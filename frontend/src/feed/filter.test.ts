import { describe, expect, it } from "vitest";
import { SAMPLES, sample } from "../event/samples.ts";
import { eventsAbout, filterOf, matchesAll, matching, parseSearch } from "./filter.ts";

const events = SAMPLES.map(sample);
const typesOf = (search: Record<string, unknown>) =>
  new Set(matching(events, filterOf(parseSearch(search))).map(({ type }) => type));

describe("the filter in the URL", () => {
  it("matches all events when it is empty", () => {
    expect(matching(events, filterOf({}))).toBe(events);
  });

  it("matches only the types that it lists", () => {
    expect(typesOf({ type: "user-registered,user-deleted" })).toEqual(
      new Set(["user-registered", "user-deleted"]),
    );
  });

  it("matches events about a user, but none about groups", () => {
    const types = typesOf({ user: "42" });
    expect(types).toContain("user-updated");
    expect([...types].filter((type) => type.startsWith("group-"))).toEqual([]);
    expect(typesOf({ user: "4711" }).size).toBe(0);
  });

  it.each([{ user: "everybody" }, { user: "-1" }, { user: "1.5" }, { type: "no-such-type" }, { type: 7 }])(
    "ignores %j, which is invalid",
    (search) => {
      expect(parseSearch(search)).toEqual({});
      expect(matchesAll(filterOf(parseSearch(search)))).toBe(true);
    },
  );

  it("keeps the known types of a list that also has an unknown one", () => {
    expect(parseSearch({ type: "user-moved,user-deleted", user: 42 })).toEqual({
      type: "user-deleted",
      user: 42,
    });
  });
});

describe("eventsAbout", () => {
  it("includes the memberships of a group", () => {
    const joined = sample("user-joined-group");
    const group = joined.known && joined.type === "user-joined-group" ? joined.data.group.uuid : "";
    const types = eventsAbout(events, { group }).map(({ type }) => type);
    expect(types).toEqual(expect.arrayContaining(["user-joined-group", "user-left-group"]));
    expect(types).not.toContain("user-updated");
  });
});
