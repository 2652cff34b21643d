import { event, expect, newPerson, newUserPage, registration, signIn, test } from "./fixtures.ts";

test("a user's resync finds a change without a webhook and shows it", async ({ page, installation }) => {
  const { pk, username } = await newPerson(installation, "Katherine Coleman");
  await signIn(page, installation.url, username);
  await expect(registration(page, "Katherine Coleman")).toBeVisible();
  await installation.changeWithoutWebhook({ op: "update_user", pk, name: "Katherine Johnson" });
  await page.getByRole("link", { name: "My account", exact: true }).click();
  await page.getByRole("button", { name: "Resync now" }).click();
  await expect(page.getByRole("status").filter({ hasText: "Katherine Johnson changed: name" })).toBeVisible();
  const change = event(page, /Katherine Johnson changed: name/);
  await expect(change.getByRole("row", { name: "name Katherine Coleman Katherine Johnson" })).toBeVisible();
  await expect(page.getByRole("row", { name: "Name Katherine Johnson", exact: true })).toBeVisible();
});

test("a deactivated user is shown as inactive and signed out immediately", async ({ page, installation }) => {
  const { pk, username } = await newPerson(installation, "Former Colleague");
  const otherPage = await newUserPage(page);
  await signIn(otherPage, installation.url, username);
  await signIn(page, installation.url);
  await page.goto(`${installation.url}/users/${pk}`);
  await expect(page.getByRole("row", { name: "Status active" })).toBeVisible();
  await installation.updateUser(pk, { is_active: false });
  await expect(page.getByRole("row", { name: "Status inactive" })).toBeVisible();
  await expect(event(page, /Former Colleague was deactivated/)).toBeVisible();
  await expect(otherPage.getByRole("alert")).toContainText("Your access has ended: the user is deactivated");
  await expect(otherPage.getByRole("button", { name: "Sign in" })).toBeVisible();
  await otherPage.context().close();
});

test("users are searched, filtered and sorted", async ({ page, installation }) => {
  for (const name of ["Zoe Searched", "Ann Searched", "Mia Searched"]) await newPerson(installation, name);
  await signIn(page, installation.url);
  await page.getByRole("link", { name: "Users", exact: true }).click();
  const names = page.getByRole("table", { name: "Users" }).getByRole("link", { name: /Searched$/ });
  await page.getByRole("searchbox", { name: "Search users" }).fill("searched");
  await expect(page).toHaveURL(/search=searched/);
  await expect(names).toHaveCount(3);
  await page.getByRole("button", { name: "Name", exact: true }).click();
  await expect(names).toHaveText(["Ann Searched", "Mia Searched", "Zoe Searched"]);
  await page.getByRole("button", { name: "Name", exact: true }).click();
  await expect(names).toHaveText(["Zoe Searched", "Mia Searched", "Ann Searched"]);
  await page.getByRole("combobox", { name: "Status" }).selectOption("inactive");
  await expect(page.getByText("No users match")).toBeVisible();
  await page.getByRole("button", { name: "Clear filters" }).click();
  await expect(page.getByRole("link", { name: "Ada Lovelace" })).toBeVisible();
});

test("a user of an unknown type is shown and can be selected", async ({ page, installation }) => {
  const { pk } = await newPerson(installation, "Made By Software");
  await installation.updateUser(pk, { type: "agent" });
  await signIn(page, installation.url);
  await page.goto(`${installation.url}/users/${pk}`);
  await expect(page.getByRole("row", { name: "Type agent", exact: true })).toBeVisible();
  await page.getByRole("link", { name: "Users", exact: true }).click();
  await page.getByRole("combobox", { name: "Type" }).selectOption("agent");
  await expect(page.getByRole("link", { name: "Made By Software" })).toBeVisible();
  await expect(page.getByRole("link", { name: "Ada Lovelace" })).toHaveCount(0);
  // A link to the filtered table shows which filter it has.
  await page.goto(`${installation.url}/users?type=unheard_of`);
  await expect(page.getByRole("combobox", { name: "Type" })).toHaveValue("unheard_of");
});

test("a long list has pages", async ({ page, installation }) => {
  await installation.importUsers(60, `paged-${process.pid}-`);
  await signIn(page, installation.url);
  await page.goto(`${installation.url}/users?search=paged-${process.pid}`);
  await expect(page.getByText("1 to 50 of 60")).toBeVisible({ timeout: 30_000 });
  await page.getByRole("button", { name: "Next" }).click();
  await expect(page.getByText("51 to 60 of 60")).toBeVisible();
  await expect(page.getByRole("button", { name: "Next" })).toBeDisabled();
});

test("a group's page shows a new member immediately", async ({ page, installation }) => {
  const { pk } = await newPerson(installation, "New Member");
  await signIn(page, installation.url);
  await page.getByRole("link", { name: "Groups", exact: true }).click();
  await page.getByRole("link", { name: "armed-forces" }).click();
  await expect(page.getByRole("heading", { name: "armed-forces" })).toBeVisible();
  await installation.changeWithoutWebhook({ op: "add_to_group", pk, group: "armed-forces" });
  await installation.updateUser(pk, { name: "New Member" });
  await expect(event(page, /New Member joined armed-forces/)).toBeVisible();
  await expect(page.getByRole("list").getByRole("link", { name: "New Member" })).toBeVisible();
});

test("a user without admin rights sees only permitted links, and the reason for each refusal", async ({
  page,
  installation,
  allowedErrors,
}) => {
  allowedErrors.push(/status of 403/);
  const { pk, username } = await newPerson(installation, "Plain User");
  await signIn(page, installation.url, username);
  await expect(page.getByRole("navigation", { name: "Pages" }).getByRole("link")).toHaveText([
    "Feed",
    "My account",
  ]);
  for (const path of ["users", "users/3", "groups", "activity", "operations"]) {
    await page.goto(`${installation.url}/${path}`);
    await expect(page.getByRole("alert").first()).toContainText("only admins may", { ignoreCase: true });
  }
  await page.goto(`${installation.url}/users/${pk}`);
  await expect(page.getByRole("heading", { name: "Plain User" })).toBeVisible();
});
