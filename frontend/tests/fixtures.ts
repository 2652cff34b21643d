import { type BrowserContext, test as base, expect, type Locator, type Page } from "@playwright/test";
import { Installation, type Person } from "./installation.ts";

/** Whose complaints are listened to now. */
const watched = new Set<BrowserContext>();

interface Shared {
  installation: Installation;
}

/** What the console says while the API is restarted. */
export const AWAY =
  /ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_INCOMPLETE_CHUNKED_ENCODING|status of 503/;

interface Own {
  /** What the browser's console may say, as the test takes something away. */
  forgiven: RegExp[];
  /** What else it said. */
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
  // biome-ignore lint/correctness/noEmptyPattern: Playwright reads the names of the fixtures from here
  forgiven: async ({}, use) => {
    await use([]);
  },
  complaints: [
    async ({ page, forgiven }, use) => {
      const complaints: string[] = [];
      watch(page.context(), complaints);
      await use(complaints);
      expect(complaints.filter((text) => !forgiven.some((may) => may.test(text)))).toEqual([]);
    },
    { auto: true },
  ],
});

/** Listens to all pages of one person. */
function watch(context: BrowserContext, complaints: string[]): void {
  watched.add(context);
  context.on("close", () => watched.delete(context));
  context.on("weberror", (error) => complaints.push(error.error().message));
  context.on("console", (message) => {
    const isBad = message.type() === "error" || message.type() === "warning";
    // The stand-in for authentik has no icon for its own pages.
    const isOfAuthentik = message.location().url.endsWith("/favicon.ico");
    if (isBad && !isOfAuthentik) complaints.push(message.text());
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
    // What is still open would complain that it is gone.
    for (const context of watched) {
      for (const page of context.pages()) await page.goto("about:blank");
    }
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

/** Somebody's registration. The comparison of each minute may find them before the webhook is worked on. */
export function registration(page: Page, name: string): Locator {
  return event(page, new RegExp(`${name} (registered|was found in authentik)`));
}

export function event(page: Page, sentence: string | RegExp): Locator {
  return page.getByRole("article", { name: sentence });
}

export { expect };
