import { type BrowserContext, test as base, expect, type Locator, type Page } from "@playwright/test";
import { Installation, type Person } from "./installation.ts";

/** The browser contexts whose console is checked. */
const watched = new Set<BrowserContext>();

interface Shared {
  installation: Installation;
}

/** Console errors during a restart of the API. */
export const API_RESTART =
  /ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_INCOMPLETE_CHUNKED_ENCODING|status of 503/;

interface Own {
  /** Console errors that a test provokes. */
  allowedErrors: RegExp[];
  /** Fails the test if the console shows any other error or warning. */
  consoleCheck: undefined;
}

/** Tests share one installation per worker. Each test creates its own users. */
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
  allowedErrors: async ({}, use) => {
    await use([]);
  },
  consoleCheck: [
    async ({ page, allowedErrors }, use) => {
      const errors: string[] = [];
      watchConsole(page.context(), errors);
      await use(undefined);
      expect(errors.filter((text) => !allowedErrors.some((allowed) => allowed.test(text)))).toEqual([]);
    },
    { auto: true },
  ],
});

/** Collects errors and warnings of all pages of a browser context. */
function watchConsole(context: BrowserContext, errors: string[]): void {
  watched.add(context);
  context.on("close", () => watched.delete(context));
  context.on("weberror", (event) => errors.push(event.error().message));
  context.on("console", (message) => {
    const isBad = message.type() === "error" || message.type() === "warning";
    // The simulator of authentik has no icon for its pages.
    const isOfAuthentik = message.location().url.endsWith("/favicon.ico");
    if (isBad && !isOfAuthentik) errors.push(message.text());
  });
}

let nPeople = 0;

/** Runs a test with an installation of its own. */
export async function withInstallation(
  settings: Record<string, string>,
  use: (installation: Installation) => Promise<void>,
): Promise<void> {
  const installation = await Installation.start(settings);
  try {
    await use(installation);
    // Open pages would log errors when the installation stops.
    for (const context of watched) {
      for (const page of context.pages()) await page.goto("about:blank");
    }
  } finally {
    await installation.stop();
  }
}

/** Opens a page for another user, in a browser context of its own. */
export async function newUserPage(page: Page): Promise<Page> {
  const browser = page.context().browser();
  if (!browser) throw new Error("the page has no browser");
  return await (await browser.newContext()).newPage();
}

/** Creates a user that no other test uses. */
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

/** A user's registration event. The reconciliation of each minute can find the user before the webhook is processed. */
export function registration(page: Page, name: string): Locator {
  return event(page, new RegExp(`${name} (registered|was found in authentik)`));
}

export function event(page: Page, sentence: string | RegExp): Locator {
  return page.getByRole("article", { name: sentence });
}

export { expect };
