// @vitest-environment happy-dom

import { screen } from "@testing-library/react";
import { userEvent } from "@testing-library/user-event";
import { describe, expect, it, vi } from "vitest";
import { Problem } from "../api/problem.ts";
import { renderInPage } from "../test/render.tsx";
import { PageTitle, ProblemAlert } from "./messages.tsx";

describe("ProblemAlert", () => {
  it("explains which permission is missing", () => {
    renderInPage(<ProblemAlert error={new Problem(403, "Forbidden", "only admins may see other users")} />);
    const alert = screen.getByRole("alert", { name: "Access denied" });
    expect(alert.textContent).toContain("Only admins may see other users.");
    expect(alert.textContent).toContain("sign out and in again");
  });

  it("says when to try again", () => {
    renderInPage(<ProblemAlert error={new Problem(429, "Too Many Requests", "slow down", 7)} />);
    const alert = screen.getByRole("alert", { name: "Too many requests" });
    expect(alert.textContent).toContain("Slow down. Try again in 7 s.");
  });

  it("reports a failed connection as an unreachable API", () => {
    renderInPage(<ProblemAlert error={new TypeError("Failed to fetch")} />);
    expect(screen.getByRole("alert", { name: "No response" }).textContent).toContain("cannot be reached");
  });

  it("offers a retry", async () => {
    const onRetry = vi.fn();
    renderInPage(<ProblemAlert error={new Problem(503, "Unavailable", "NATS is away")} onRetry={onRetry} />);
    await userEvent.click(screen.getByRole("button", { name: "Try again" }));
    expect(onRetry).toHaveBeenCalledOnce();
  });
});

describe("PageTitle", () => {
  it("is the title of the browser tab", () => {
    const { rerender } = renderInPage(<PageTitle title="Users" />);
    expect(document.title).toBe("Users · authentik-events");
    rerender(<PageTitle title="Groups" />);
    expect(document.title).toBe("Groups · authentik-events");
  });
});
