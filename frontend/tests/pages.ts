import type { Page } from "@playwright/test";
import { event, expect, newPerson, signIn, test, withInstallation } from "./fixtures.ts";
import type { Installation } from "./installation.ts";

/** A page's name, and how to open it and wait for its content. */
interface Visit {
  name: string;
  open: (page: Page, installation: Installation) => Promise<void>;
}

/** The key of a user in the simulator's initial data. */
const ADA = 6;

function at(path: string, heading: string): Visit["open"] {
  return async (page, { url }) => {
    await page.goto(`${url}${path}`);
    await expect(page.getByRole("heading", { name: heading, level: 1 })).toBeVisible();
    await expect(page.getByText(/^Loading/)).toHaveCount(0);
  };
}

/** All pages, to be visited in this order: the first visit is before the sign-in. */
const VISITS: readonly Visit[] = [
  {
    name: "welcome",
    open: async (page, { url }) => {
      await page.goto(url);
      await expect(page.getByRole("button", { name: "Sign in" })).toBeVisible();
    },
  },
  {
    name: "feed",
    open: async (page, { url }) => {
      await signIn(page, url);
      await expect(page.getByRole("article").first()).toBeVisible();
    },
  },
  {
    name: "event",
    open: async (page) => {
      await event(page, /changed: name/)
        .first()
        .getByRole("button", { name: "Details" })
        .click();
      await expect(page.getByRole("dialog", { name: "Event" })).toBeVisible();
    },
  },
  { name: "users", open: at("/users", "Users") },
  {
    name: "user",
    open: async (page, installation) => {
      await at(`/users/${ADA}`, "Ada King")(page, installation);
      await expect(page.getByRole("article").first()).toBeVisible();
    },
  },
  { name: "groups", open: at("/groups", "Groups") },
  {
    name: "group",
    open: async (page, installation) => {
      await at("/groups", "Groups")(page, installation);
      await page.getByRole("link", { name: "armed-forces" }).click();
      await expect(page.getByRole("heading", { name: "armed-forces", level: 1 })).toBeVisible();
    },
  },
  {
    name: "activity",
    open: async (page, installation) => {
      await at("/activity", "Activity")(page, installation);
      await expect(page.locator("canvas")).toBeVisible();
    },
  },
  {
    name: "me",
    open: async (page, { url }) => {
      await page.goto(`${url}/me`);
      await expect(page.getByRole("button", { name: "Resync now" })).toBeVisible();
      await expect(page.getByRole("article").first()).toBeVisible();
    },
  },
  {
    name: "operations",
    open: async (page, installation) => {
      await at("/operations", "Operations")(page, installation);
      await expect(page.getByRole("table", { name: "Dead letters" })).toBeVisible();
    },
  },
  {
    name: "dead-letter",
    open: async (page) => {
      await page.getByRole("table", { name: "Dead letters" }).getByRole("button").first().click();
      await expect(
        page.getByRole("dialog", { name: "Dead letter" }).getByText(/"pk": ?"none"/),
      ).toBeVisible();
    },
  },
];

/** Opens every page of an installation with some activity, and calls `check` with the page's name. */
export async function visitEveryPage(page: Page, check: (name: string) => Promise<void>): Promise<void> {
  test.setTimeout(180_000);
  await withInstallation({}, async (installation) => {
    await createActivity(installation);
    for (const { name, open } of VISITS) {
      await test.step(name, async () => {
        await open(page, installation);
        await check(name);
      });
    }
  });
}

/** Creates events and a dead letter, so that every page has content. */
async function createActivity(installation: Installation): Promise<void> {
  const { pk } = await newPerson(installation, "Mary Jackson");
  await installation.login(pk);
  await installation.updateUser(ADA, { name: "Ada King" });
  await installation.updateUser(pk, { is_active: false });
  await installation.changeWithoutWebhook({ op: "add_to_group", pk, group: "armed-forces" });
  await installation.updateUser(pk, { is_active: true });
  await installation.breakDelivery(pk);
}
