import { event, expect, newPerson, registration, signIn, test, withInstallation } from "./fixtures.ts";

/** So short that a session is renewed several times within a test. */
const TOKEN_SECONDS = 12;

test("a session is renewed while events stream, and none is missed", async ({ page }) => {
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
    // The first stream ends with its token; what is recorded then comes by the next one.
    await expect.poll(() => streams.length, { timeout: 3 * TOKEN_SECONDS * 1000 }).toBeGreaterThan(1);
    await newPerson(installation, "Still Streaming");
    await expect(registration(page, "Still Streaming")).toBeVisible();
    await expect(page.getByRole("status", { name: "Feed: live" })).toBeVisible();
    expect(tokens.size).toBeGreaterThan(1);
    await expect(page.getByRole("button", { name: "Sign in" })).toHaveCount(0);
  });
});

test("two tabs share a session: one signs in for both, renews for both, and signs out both", async ({
  page,
}) => {
  const settings = { SIMULATOR_ACCESS_TOKEN_SECONDS: String(TOKEN_SECONDS) };
  await withInstallation(settings, async (installation) => {
    await signIn(page, installation.url);
    const second = await page.context().newPage();
    await second.goto(installation.url);
    await expect(second.getByRole("status", { name: "Feed: live" })).toBeVisible();
    const renewals: string[] = [];
    page.context().on("response", (answer) => {
      if (answer.url().endsWith("/application/o/token/")) renewals.push(`${answer.status()}`);
    });
    await expect.poll(() => renewals.length, { timeout: 3 * TOKEN_SECONDS * 1000 }).toBeGreaterThan(6);
    // A refresh token that is used twice is refused, and reported as suspicious.
    expect(new Set(renewals)).toEqual(new Set(["200"]));
    await newPerson(installation, "Seen Twice");
    for (const tab of [page, second]) await expect(registration(tab, "Seen Twice")).toBeVisible();
    await expect(event(page, /suspicious/)).toHaveCount(0);
    await second.getByRole("button", { name: "Sign out" }).click();
    await expect(page.getByRole("button", { name: "Sign in" })).toBeVisible();
  });
});

test("who signs out while authentik is away is out here, and told so", async ({
  page,
  installation,
  forgiven,
}) => {
  forgiven.push(/ERR_FAILED/);
  await signIn(page, installation.url);
  await page.route(`${installation.authentik}/**`, (route) => route.abort());
  // What the page knew of authentik is gone with this.
  await page.reload();
  await page.getByRole("button", { name: "Sign out" }).click();
  await expect(page.getByRole("alert")).toContainText("your session there goes on");
  await page.reload();
  await expect(page.getByRole("button", { name: "Sign in" })).toBeVisible();
});

test("nothing that was shown to one person is left for the next, in no tab", async ({
  page,
  installation,
}) => {
  const { username } = await newPerson(installation, "Next Person");
  await signIn(page, installation.url);
  const others = page.getByRole("article").filter({ hasNotText: "Next Person" });
  await expect(others.first()).toBeVisible();
  const second = await page.context().newPage();
  await second.goto(installation.url);
  await second.getByRole("button", { name: "Sign out" }).click();
  await expect(second.getByRole("button", { name: "Sign in" })).toBeVisible();
  await signIn(second, installation.url, username);
  // The first tab was never reloaded: it follows.
  await expect(page.getByRole("heading", { name: "My events" })).toBeVisible();
  await expect(registration(page, "Next Person")).toBeVisible();
  await expect(others).toHaveCount(0);
  await expect(page.getByRole("link", { name: "Next Person" })).toBeVisible();
});

test("an admin who loses that right goes on with their own events", async ({ page, installation }) => {
  const { pk, username } = await newPerson(installation, "Admin For Now");
  await installation.changeSilently({ op: "add_to_group", pk, group: "authentik Admins" });
  await installation.updateUser(pk, { name: "Admin For Now" });
  await signIn(page, installation.url, username);
  await expect(page.getByRole("heading", { name: "Live feed" })).toBeVisible();
  await installation.changeSilently({ op: "remove_from_group", pk, group: "authentik Admins" });
  await installation.updateUser(pk, { name: "Plain Again" });
  await expect(page.getByRole("heading", { name: "My events" })).toBeVisible();
  await expect(page.getByRole("link", { name: "Users", exact: true })).toHaveCount(0);
  await expect(event(page, /left authentik Admins/)).toBeVisible();
  await expect(event(page, /Ada Lovelace/)).toHaveCount(0);
});
