// @vitest-environment happy-dom

import { screen, waitFor } from "@testing-library/react";
import { userEvent } from "@testing-library/user-event";
import { expect, it, vi } from "vitest";
import { show } from "../test/page.tsx";
import { LateInput } from "./late-input.tsx";

const field = () => screen.getByRole<HTMLInputElement>("textbox", { name: "Search" });

it("tells what was typed once, without the space around it", async () => {
  const tell = vi.fn();
  show(<LateInput aria-label="Search" value="" onChange={tell} />);
  await userEvent.type(field(), " ada ");
  await waitFor(() => expect(tell).toHaveBeenCalled());
  expect(tell.mock.calls).toEqual([["ada"]]);
  expect(field().value).toBe(" ada ");
});

it("takes no field's text for another's, however fast they are typed in", async () => {
  const [search, group] = [vi.fn(), vi.fn()];
  show(
    <>
      <LateInput aria-label="Search" value="" onChange={search} />
      <LateInput aria-label="Group" value="" onChange={group} />
    </>,
  );
  await userEvent.type(field(), "ada");
  await userEvent.type(screen.getByRole("textbox", { name: "Group" }), "navy");
  await waitFor(() => expect(group).toHaveBeenCalledWith("navy"));
  expect(search).toHaveBeenCalledWith("ada");
});

it("follows where the value is changed elsewhere, and forgets what it did not tell", async () => {
  const tell = vi.fn();
  const { showNow } = show(<LateInput aria-label="Search" value="ada" onChange={tell} />);
  await userEvent.type(field(), "x");
  showNow(<LateInput aria-label="Search" value="" onChange={tell} />);
  await waitFor(() => expect(field().value).toBe(""));
  await userEvent.type(field(), "grace");
  await waitFor(() => expect(tell).toHaveBeenCalled());
  expect(tell.mock.calls).toEqual([["grace"]]);
});
