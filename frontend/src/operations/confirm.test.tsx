// @vitest-environment happy-dom

import { screen } from "@testing-library/react";
import { userEvent } from "@testing-library/user-event";
import { expect, it, vi } from "vitest";
import { renderInPage } from "../test/render.tsx";
import { Confirm } from "./confirm.tsx";

const dropButton = () => screen.getByRole("button", { name: "Drop" });

it("acts only after the confirmation", async () => {
  const onConfirm = vi.fn();
  renderInPage(
    <Confirm label="Drop" question="Delete it permanently?" isBusy={false} onConfirm={onConfirm} />,
  );
  await userEvent.click(dropButton());
  expect(screen.getByRole("group", { name: "Delete it permanently?" })).toBeDefined();
  expect(onConfirm).not.toHaveBeenCalled();
  await userEvent.click(dropButton());
  expect(onConfirm).toHaveBeenCalledOnce();
});

it("can be cancelled", async () => {
  const onConfirm = vi.fn();
  renderInPage(
    <Confirm label="Drop" question="Delete it permanently?" isBusy={false} onConfirm={onConfirm} />,
  );
  await userEvent.click(dropButton());
  await userEvent.click(screen.getByRole("button", { name: "Cancel" }));
  expect(screen.queryByRole("group")).toBeNull();
  expect(onConfirm).not.toHaveBeenCalled();
});
