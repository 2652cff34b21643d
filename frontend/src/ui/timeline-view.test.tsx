// @vitest-environment happy-dom

import { screen } from "@testing-library/react";
import { expect, it } from "vitest";
import { sample } from "../event/samples.ts";
import type { Reach } from "../feed/timeline.ts";
import { show } from "../test/page.tsx";
import { TimelineView } from "./timeline-view.tsx";

const ITEMS = ["1", "2"].map((id) => ({ ...sample("user-updated"), id, place: null }));

it.each<[Reach, number, string]>([
  ["cut", 2, "The newest 2 events; older ones are left out."],
  ["cut", 0, "Older events are left out."],
  ["beginning", 2, "This is the beginning."],
  ["beginning", 0, "Nothing is recorded"],
])("says how far back it goes: %s, %i events", (reach, nItems, text) => {
  show(<TimelineView timeline={{ items: ITEMS.slice(0, nItems), reach }} label="Events" />);
  expect(screen.getByText(text)).toBeTruthy();
});

it("does not call the beginning what goes on", () => {
  const { showNow } = show(<TimelineView timeline={{ items: ITEMS, reach: "loading" }} label="Events" />);
  expect(screen.getByRole("status", { name: "Loading events" })).toBeTruthy();
  showNow(<TimelineView timeline={{ items: ITEMS, reach: "failed" }} label="Events" />);
  expect(screen.queryByText("This is the beginning.")).toBeNull();
});
