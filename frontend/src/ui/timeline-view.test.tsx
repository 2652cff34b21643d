// @vitest-environment happy-dom

import { screen } from "@testing-library/react";
import { expect, it } from "vitest";
import { sample } from "../event/samples.ts";
import type { Completeness } from "../feed/timeline.ts";
import { renderInPage } from "../test/render.tsx";
import { TimelineView } from "./timeline-view.tsx";

const ITEMS = ["1", "2"].map((id) => ({ ...sample("user-updated"), id, cursor: null }));

it.each<[Completeness, number, string]>([
  ["truncated", 2, "Only the newest 2 events are shown."],
  ["truncated", 0, "Older events are not shown."],
  ["complete", 2, "There are no earlier events."],
  ["complete", 0, "No events recorded"],
])("explains a %s timeline of %i events", (completeness, nItems, text) => {
  renderInPage(<TimelineView timeline={{ items: ITEMS.slice(0, nItems), completeness }} label="Events" />);
  expect(screen.getByText(text)).toBeTruthy();
});

it("shows no end while older events are loading or have failed to load", () => {
  const timeline = (completeness: Completeness) => (
    <TimelineView timeline={{ items: ITEMS, completeness }} label="Events" />
  );
  const { rerender } = renderInPage(timeline("loading"));
  expect(screen.getByRole("status", { name: "Loading events" })).toBeTruthy();
  rerender(timeline("failed"));
  expect(screen.queryByText("There are no earlier events.")).toBeNull();
});
