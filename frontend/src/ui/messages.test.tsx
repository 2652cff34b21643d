// @vitest-environment happy-dom

import { screen } from "@testing-library/react";
import { userEvent } from "@testing-library/user-event";
import { describe, expect, it, vi } from "vitest";
import { Problem } from "../api/problem.ts";
import { show } from "../test/page.tsx";
import { PageTitle, ProblemAlert } from "./messages.tsx";

describe("ProblemAlert", () => {
  it("explains to who may not what they lack", () => {
    show(<ProblemAlert error={new Problem(403, "Forbidden", "only admins may see other users")} />);
    const alert = screen.getByRole("alert", { name: "This is not for your account" });
    expect(alert.textContent).toContain("only admins may see other users");
    expect(alert.textContent).toContain("sign out and in again");
  });

  it("says when to come back", () => {
    show(<ProblemAlert error={new Problem(429, "Too Many Requests", "slow down", 7)} />);
    const alert = screen.getByRole("alert", { name: "Too many requests" });
    expect(alert.textContent).toContain("Slow down. Try again in 7 s.");
  });

  it("takes a network that is away for an API that is away", () => {
    show(<ProblemAlert error={new TypeError("Failed to fetch")} />);
    expect(screen.getByRole("alert", { name: "No answer" }).textContent).toContain("cannot be reached");
  });

  it("offers another try where there is one", async () => {
    const again = vi.fn();
    show(<ProblemAlert error={new Problem(503, "Unavailable", "NATS is away")} onRetry={again} />);
    await userEvent.click(screen.getByRole("button", { name: "Try again" }));
    expect(again).toHaveBeenCalledOnce();
  });
});

describe("PageTitle", () => {
  it("is what the browser calls the page", () => {
    const { showNow } = show(<PageTitle title="Users" />);
    expect(document.title).toBe("Users · authentik-events");
    showNow(<PageTitle title="Groups" />);
    expect(document.title).toBe("Groups · authentik-events");
  });
});
