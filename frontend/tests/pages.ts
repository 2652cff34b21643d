import type { Page } from "@playwright/test";
import { event, expect, newPerson, signIn } from "./fixtures.ts";
import type { Installation } from "./installation.ts";

/** Every page that there is, by name, and how to come to it and see it whole. */
export interface Visit {
  name: string;
  open: (page: Page, installation: Installation) => Promise<void>;
}

/** Somebody who is there from the start. */
const ADA = 6;

function at(path: string, heading: string): Visit["open"] {
  return async (page, { url }) => {
    await page.goto(`${url}${path}`);
    await expect(page.getByRole("heading", { name: heading, level: 1 })).toBeVisible();
    await expect(page.getByText(/^Loading/)).toHaveCount(0);
  };
}

/** In this order: it begins with nobody signed in. */
export const VISITS: readonly Visit[] = [
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
      await expect(page.getByRole("button", { name: "Ask authentik now" })).toBeVisible();
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

/** A few things happen, so that there is something to see on each page. */
export async function bringToLife(installation: Installation): Promise<void> {
  const { pk } = await newPerson(installation, "Mary Jackson");
  await installation.login(pk);
  await installation.updateUser(ADA, { name: "Ada King" });
  await installation.updateUser(pk, { is_active: false });
  await installation.changeSilently({ op: "add_to_group", pk, group: "armed-forces" });
  await installation.updateUser(pk, { is_active: true });
  await installation.breakDelivery(pk);
}
