// @vitest-environment happy-dom

import { screen } from "@testing-library/react";
import { userEvent } from "@testing-library/user-event";
import { expect, it, vi } from "vitest";
import { show } from "../test/page.tsx";
import { Confirm } from "./confirm.tsx";

const drop = () => screen.getByRole("button", { name: "Drop" });

it("does nothing before it was asked a second time", async () => {
  const dropped = vi.fn();
  show(<Confirm label="Drop" question="Delete it for good?" isBusy={false} onConfirm={dropped} />);
  await userEvent.click(drop());
  expect(screen.getByRole("group", { name: "Delete it for good?" })).toBeDefined();
  expect(dropped).not.toHaveBeenCalled();
  await userEvent.click(drop());
  expect(dropped).toHaveBeenCalledOnce();
});

it("can be taken back", async () => {
  const dropped = vi.fn();
  show(<Confirm label="Drop" question="Delete it for good?" isBusy={false} onConfirm={dropped} />);
  await userEvent.click(drop());
  await userEvent.click(screen.getByRole("button", { name: "Cancel" }));
  expect(screen.queryByRole("group")).toBeNull();
  expect(dropped).not.toHaveBeenCalled();
});
