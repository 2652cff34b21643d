import { describe, expect, it } from "vitest";
import { SAMPLES, sample } from "../event/samples.ts";
import { about, filterOf, isAny, matching, parseSearch } from "./filter.ts";

const events = SAMPLES.map(sample);
const typesOf = (search: Record<string, unknown>) =>
  new Set(matching(events, filterOf(parseSearch(search))).map(({ type }) => type));

describe("the filter in the address", () => {
  it("shows everything where it says nothing", () => {
    expect(matching(events, filterOf({}))).toBe(events);
  });

  it("passes the types that it names, and no other", () => {
    expect(typesOf({ type: "user-registered,user-deleted" })).toEqual(
      new Set(["user-registered", "user-deleted"]),
    );
  });

  it("passes what is about a user, and nothing about groups", () => {
    const types = typesOf({ user: "42" });
    expect(types).toContain("user-updated");
    expect([...types].filter((type) => type.startsWith("group-"))).toEqual([]);
    expect(typesOf({ user: "4711" }).size).toBe(0);
  });

  it.each([{ user: "everybody" }, { user: "-1" }, { user: "1.5" }, { type: "no-such-type" }, { type: 7 }])(
    "leaves out %j, which means nothing",
    (search) => {
      expect(parseSearch(search)).toEqual({});
      expect(isAny(filterOf(parseSearch(search)))).toBe(true);
    },
  );

  it("keeps what it knows of a list with something that it does not", () => {
    expect(parseSearch({ type: "user-moved,user-deleted", user: 42 })).toEqual({
      type: "user-deleted",
      user: 42,
    });
  });
});

describe("about", () => {
  it("counts who joins and leaves among what is about a group", () => {
    const joined = sample("user-joined-group");
    const group = joined.known && joined.type === "user-joined-group" ? joined.data.group.uuid : "";
    const types = about(events, { group }).map(({ type }) => type);
    expect(types).toEqual(expect.arrayContaining(["user-joined-group", "user-left-group"]));
    expect(types).not.toContain("user-updated");
  });
});
