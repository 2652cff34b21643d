import type { Page } from "@playwright/test";
import { expect, newPerson, signIn, test } from "./fixtures.ts";
import type { Installation } from "./installation.ts";

/** Signs a new user in. Returns the refresh token that the browser received. */
async function signInAndWatchTokens(
  page: Page,
  installation: Installation,
  username: string,
): Promise<string> {
  const granted = page.waitForResponse((response) => response.url().endsWith("/application/o/token/"));
  await signIn(page, installation.url, username);
  const { refresh_token } = await (await granted).json();
  expect(refresh_token).toBeTruthy();
  return String(refresh_token);
}

/** The next sign-in on the page asks for the password. */
async function expectPasswordPrompt(page: Page, installation: Installation): Promise<void> {
  await page.goto(installation.url);
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(page.getByLabel("Password")).toBeVisible();
}

test("after a sign-out, signing in again asks for the password", async ({ page, installation }) => {
  const { username } = await newPerson(installation, "Signs Out");
  const refreshToken = await signInAndWatchTokens(page, installation, username);
  await page.getByRole("button", { name: "Sign out" }).click();
  // authentik sends the browser back to the page.
  await expect(page.getByRole("button", { name: "Sign in" })).toBeVisible();
  await expect(page).toHaveURL(`${installation.url}/`);
  expect(await installation.refresh(refreshToken)).toBe(400);
  await expectPasswordPrompt(page, installation);
});

test("a sign-out ends the session of an authentik that cannot send the browser back", async ({
  page,
  installation,
}) => {
  await installation.injectFaults({ mistakes: ["no_logout_uris"] });
  const { username } = await newPerson(installation, "Stays There");
  const refreshToken = await signInAndWatchTokens(page, installation, username);
  await page.getByRole("button", { name: "Sign out" }).click();
  await expect(page).toHaveURL(`${installation.authentik}/`);
  expect(await installation.refresh(refreshToken)).toBe(400);
  await expectPasswordPrompt(page, installation);
  await installation.injectFaults({ mistakes: [] });
});

test("a sign-out is recorded", async ({ page, installation }) => {
  const { pk, username } = await newPerson(installation, "Seen Leaving");
  await signIn(page, installation.url, username);
  await page.getByRole("button", { name: "Sign out" }).click();
  await expect(page.getByRole("button", { name: "Sign in" })).toBeVisible();
  await signIn(page, installation.url);
  await page.goto(`${installation.url}/users/${pk}`);
  await expect(page.getByRole("article", { name: /Seen Leaving signed out/ })).toBeVisible();
});
