import { expect, newPerson, registration, signIn, test } from "./fixtures.ts";

test("a new user signs up and sees their registration without a reload", async ({ page, installation }) => {
  const username = `mary-${process.pid}`;
  await page.goto(installation.url);
  await page.getByRole("button", { name: "Sign up" }).click();
  await page.getByLabel("Username").fill(username);
  await page.getByLabel("Name", { exact: true }).fill("Mary Jackson");
  await page.getByLabel("Email").fill("mary@lab.invalid");
  await page.getByLabel("Password").fill("a");
  await page.getByRole("button", { name: "Sign up" }).click();
  await expect(page.getByRole("alert")).toContainText("at least 12 characters");
  await page.getByLabel("Password").fill("a-long-password");
  await page.getByRole("button", { name: "Sign up" }).click();
  await expect(page.getByRole("heading", { name: "My events" })).toBeVisible();
  await expect(registration(page, "Mary Jackson")).toBeVisible();
  // The navigation has no page that the API would refuse.
  await expect(page.getByRole("link", { name: "Users" })).toHaveCount(0);
});

test("an admin sees a registration immediately", async ({ page, installation }) => {
  await signIn(page, installation.url);
  await expect(page.getByRole("heading", { name: "Live feed" })).toBeVisible();
  await newPerson(installation, "Dorothy Vaughan");
  await expect(registration(page, "Dorothy Vaughan")).toBeVisible();
});

test("a session survives a reload and ends with the sign-out", async ({ page, installation }) => {
  await signIn(page, installation.url);
  await page.reload();
  await expect(page.getByRole("status", { name: "Feed: live" })).toBeVisible();
  await page.getByRole("button", { name: "Sign out" }).click();
  await expect(page.getByRole("button", { name: "Sign in" })).toBeVisible();
  await page.reload();
  await expect(page.getByRole("button", { name: "Sign in" })).toBeVisible();
});
