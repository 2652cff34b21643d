import { event, expect, newPerson, registration, signIn, test, withInstallation } from "./fixtures.ts";

/** Short enough that a test sees several renewals. */
const TOKEN_SECONDS = 12;

test("a session is renewed during streaming, without a missed event", async ({ page }) => {
  const settings = { SIMULATOR_ACCESS_TOKEN_SECONDS: String(TOKEN_SECONDS) };
  await withInstallation(settings, async (installation) => {
    const tokens = new Set<string>();
    const streams: string[] = [];
    page.on("request", (request) => {
      const token = request.headers().authorization;
      if (token) tokens.add(token);
      if (request.url().includes("/api/events/stream")) streams.push(request.url());
    });
    await signIn(page, installation.url);
    // The first stream ends with its token. The next stream brings later events.
    await expect.poll(() => streams.length, { timeout: 3 * TOKEN_SECONDS * 1000 }).toBeGreaterThan(1);
    await newPerson(installation, "Still Streaming");
    await expect(registration(page, "Still Streaming")).toBeVisible();
    await expect(page.getByRole("status", { name: "Feed: live" })).toBeVisible();
    expect(tokens.size).toBeGreaterThan(1);
    await expect(page.getByRole("button", { name: "Sign in" })).toHaveCount(0);
  });
});

test("a sign-in, a renewal and a sign-out in one tab apply to both tabs", async ({ page }) => {
  const settings = { SIMULATOR_ACCESS_TOKEN_SECONDS: String(TOKEN_SECONDS) };
  await withInstallation(settings, async (installation) => {
    await signIn(page, installation.url);
    const second = await page.context().newPage();
    await second.goto(installation.url);
    await expect(second.getByRole("status", { name: "Feed: live" })).toBeVisible();
    const renewals: string[] = [];
    page.context().on("response", (response) => {
      if (response.url().endsWith("/application/o/token/")) renewals.push(`${response.status()}`);
    });
    await expect.poll(() => renewals.length, { timeout: 3 * TOKEN_SECONDS * 1000 }).toBeGreaterThan(6);
    // authentik refuses the second use of a refresh token, and reports it as suspicious.
    expect(new Set(renewals)).toEqual(new Set(["200"]));
    await newPerson(installation, "Seen Twice");
    for (const tab of [page, second]) await expect(registration(tab, "Seen Twice")).toBeVisible();
    await expect(event(page, /suspicious/)).toHaveCount(0);
    await second.getByRole("button", { name: "Sign out" }).click();
    await expect(page.getByRole("button", { name: "Sign in" })).toBeVisible();
  });
});

test("a sign-out while authentik is unavailable ends only the local session, with a warning", async ({
  page,
  installation,
  allowedErrors,
}) => {
  allowedErrors.push(/ERR_FAILED/);
  await signIn(page, installation.url);
  await page.route(`${installation.authentik}/**`, (route) => route.abort());
  // The reload drops authentik's metadata, which the sign-out needs.
  await page.reload();
  await page.getByRole("button", { name: "Sign out" }).click();
  await expect(page.getByRole("alert")).toContainText("your session there is still active");
  await page.reload();
  await expect(page.getByRole("button", { name: "Sign in" })).toBeVisible();
});

test("no tab shows a user's events to the next user", async ({ page, installation }) => {
  const { username } = await newPerson(installation, "Next Person");
  await signIn(page, installation.url);
  const others = page.getByRole("article").filter({ hasNotText: "Next Person" });
  await expect(others.first()).toBeVisible();
  const second = await page.context().newPage();
  await second.goto(installation.url);
  await second.getByRole("button", { name: "Sign out" }).click();
  await expect(second.getByRole("button", { name: "Sign in" })).toBeVisible();
  await signIn(second, installation.url, username);
  // The first tab switches to the new user without a reload.
  await expect(page.getByRole("heading", { name: "My events" })).toBeVisible();
  await expect(registration(page, "Next Person")).toBeVisible();
  await expect(others).toHaveCount(0);
  await expect(page.getByRole("link", { name: "Next Person" })).toBeVisible();
});

test("an admin who loses admin rights continues with their own events", async ({ page, installation }) => {
  const { pk, username } = await newPerson(installation, "Admin For Now");
  await installation.changeWithoutWebhook({ op: "add_to_group", pk, group: "authentik Admins" });
  await installation.updateUser(pk, { name: "Admin For Now" });
  await signIn(page, installation.url, username);
  await expect(page.getByRole("heading", { name: "Live feed" })).toBeVisible();
  await installation.changeWithoutWebhook({ op: "remove_from_group", pk, group: "authentik Admins" });
  await installation.updateUser(pk, { name: "Plain Again" });
  await expect(page.getByRole("heading", { name: "My events" })).toBeVisible();
  await expect(page.getByRole("link", { name: "Users", exact: true })).toHaveCount(0);
  await expect(event(page, /left authentik Admins/)).toBeVisible();
  await expect(event(page, /Ada Lovelace/)).toHaveCount(0);
});
