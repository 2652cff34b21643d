import { test as base, expect, type Locator, type Page } from "@playwright/test";
import { Installation, type Person } from "./installation.ts";

interface Shared {
  installation: Installation;
}

interface Own {
  /** What the browser's console said that nobody expects. */
  complaints: string[];
}

/** One installation for the tests of a worker; each test makes people of its own. */
export const test = base.extend<Own, Shared>({
  installation: [
    // biome-ignore lint/correctness/noEmptyPattern: Playwright reads the names of the fixtures from here
    async ({}, use) => {
      const installation = await Installation.start();
      await use(installation);
      await installation.stop();
    },
    { scope: "worker", timeout: 120_000 },
  ],
  complaints: [
    async ({ page }, use) => {
      const complaints: string[] = [];
      watch(page, complaints);
      await use(complaints);
      expect(complaints).toEqual([]);
    },
    { auto: true },
  ],
});

/** What is said because a test takes something away. */
const EXPECTED = [/Failed to load resource/, /net::ERR_/, /the server responded with a status of/];

function watch(page: Page, complaints: string[]): void {
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => {
    if (message.type() !== "error" && message.type() !== "warning") return;
    if (!EXPECTED.some((expected) => expected.test(message.text()))) complaints.push(message.text());
  });
}

let nPeople = 0;

/** Everything that a page shows in an installation that only one test may change. */
export async function withInstallation(
  settings: Record<string, string>,
  use: (installation: Installation) => Promise<void>,
): Promise<void> {
  const installation = await Installation.start(settings);
  try {
    await use(installation);
  } finally {
    await installation.stop();
  }
}

/** Opens another page, of another person: nothing is shared with the first. */
export async function anotherBrowser(page: Page): Promise<Page> {
  const browser = page.context().browser();
  if (!browser) throw new Error("the page has no browser");
  return await (await browser.newContext()).newPage();
}

/** Somebody of whom no other test knows. */
export async function newPerson(installation: Installation, name: string): Promise<Person> {
  nPeople += 1;
  return await installation.createUser(`person-${process.pid}-${nPeople}`, name);
}

export async function signIn(page: Page, url: string, username = "akadmin"): Promise<void> {
  await page.goto(url);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByLabel("Username").fill(username);
  await page.getByLabel("Password").fill(`${username}-password`);
  await page.getByRole("button", { name: "Log in" }).click();
  await expect(page.getByRole("status", { name: "Feed: live" })).toBeVisible();
}

export function event(page: Page, sentence: string | RegExp): Locator {
  return page.getByRole("article", { name: sentence });
}

export { expect };
