// @vitest-environment happy-dom

import { screen, waitFor } from "@testing-library/react";
import { userEvent } from "@testing-library/user-event";
import { expect, it, vi } from "vitest";
import { renderInPage } from "../test/render.tsx";
import { DebouncedInput } from "./debounced-input.tsx";

const field = () => screen.getByRole<HTMLInputElement>("textbox", { name: "Search" });

it("reports the typed text once, trimmed", async () => {
  const onChange = vi.fn();
  renderInPage(<DebouncedInput aria-label="Search" value="" onChange={onChange} />);
  await userEvent.type(field(), " ada ");
  await waitFor(() => expect(onChange).toHaveBeenCalled());
  expect(onChange.mock.calls).toEqual([["ada"]]);
  expect(field().value).toBe(" ada ");
});

it("reports the texts of two fields separately", async () => {
  const [onSearch, onGroup] = [vi.fn(), vi.fn()];
  renderInPage(
    <>
      <DebouncedInput aria-label="Search" value="" onChange={onSearch} />
      <DebouncedInput aria-label="Group" value="" onChange={onGroup} />
    </>,
  );
  await userEvent.type(field(), "ada");
  await userEvent.type(screen.getByRole("textbox", { name: "Group" }), "navy");
  await waitFor(() => expect(onGroup).toHaveBeenCalledWith("navy"));
  expect(onSearch).toHaveBeenCalledWith("ada");
});

it("takes over a changed value and drops unreported text", async () => {
  const onChange = vi.fn();
  const { rerender } = renderInPage(<DebouncedInput aria-label="Search" value="ada" onChange={onChange} />);
  await userEvent.type(field(), "x");
  rerender(<DebouncedInput aria-label="Search" value="" onChange={onChange} />);
  await waitFor(() => expect(field().value).toBe(""));
  await userEvent.type(field(), "grace");
  await waitFor(() => expect(onChange).toHaveBeenCalled());
  expect(onChange.mock.calls).toEqual([["grace"]]);
});
