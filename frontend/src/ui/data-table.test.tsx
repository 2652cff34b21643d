// @vitest-environment happy-dom

import type { ColumnDef } from "@tanstack/react-table";
import { screen, within } from "@testing-library/react";
import { userEvent } from "@testing-library/user-event";
import { expect, it, vi } from "vitest";
import { renderInPage } from "../test/render.tsx";
import { DataTable, type features } from "./data-table.tsx";

interface Ship {
  name: string;
  guns: number;
}

const COLUMNS: ColumnDef<typeof features, Ship>[] = [
  { id: "name", header: "Name", accessorFn: ({ name }) => name, sortFn: "text" },
  { id: "guns", header: "Guns", accessorFn: ({ guns }) => guns, sortFn: "basic" },
];

const fleet = (n: number): Ship[] =>
  Array.from({ length: n }, (_, index) => ({ name: `Ship ${index}`, guns: (index * 7) % 100 }));

function table(rows: Ship[], onSort = vi.fn(), loadMore: (() => void) | null = null) {
  return (
    <DataTable
      label="Ships"
      rows={rows}
      columns={COLUMNS}
      rowId={({ name }) => name}
      loadMore={loadMore}
      onSort={onSort}
    />
  );
}

const firstNames = (n: number) =>
  within(screen.getByRole("table", { name: "Ships" }))
    .getAllByRole("row")
    .slice(1, n + 1)
    .map((row) => within(row).getAllByRole("cell")[0]?.textContent);

it("requests all rows when it is sorted, and shows the direction", async () => {
  const onSort = vi.fn();
  renderInPage(table(fleet(3), onSort));
  expect(onSort).not.toHaveBeenCalled();
  await userEvent.click(screen.getByRole("button", { name: "Guns" }));
  expect(onSort).toHaveBeenCalled();
  const header = screen.getByRole("columnheader", { name: "Guns" });
  expect(header.getAttribute("aria-sort")).toMatch(/ascending|descending/);
  const sorted = firstNames(3);
  await userEvent.click(screen.getByRole("button", { name: "Guns" }));
  expect(firstNames(3)).toEqual(sorted.toReversed());
});

it("shows one page at a time, and loads more rows on the last page", async () => {
  const loadMore = vi.fn();
  renderInPage(table(fleet(60), vi.fn(), loadMore));
  expect(screen.getByRole("status").textContent).toBe("1 to 50 of more than 60");
  expect(loadMore).not.toHaveBeenCalled();
  await userEvent.click(screen.getByRole("button", { name: "Next" }));
  expect(screen.getByRole("status").textContent).toBe("51 to 60 of more than 60");
  expect(loadMore).toHaveBeenCalledOnce();
});

it("keeps the current page when rows change, as long as it exists", async () => {
  const { rerender } = renderInPage(table(fleet(120)));
  await userEvent.click(screen.getByRole("button", { name: "Next" }));
  await userEvent.click(screen.getByRole("button", { name: "Next" }));
  rerender(table(fleet(121)));
  expect(screen.getByRole("status").textContent).toBe("101 to 121 of 121");
  rerender(table(fleet(60)));
  expect(screen.getByRole("status").textContent).toBe("51 to 60 of 60");
});
