import type { Page } from "@playwright/test";
import { expect, newPerson, signIn, test, withInstallation } from "./fixtures.ts";

async function openOperations(page: Page, url: string): Promise<void> {
  await signIn(page, url);
  await page.getByRole("link", { name: "Operations", exact: true }).click();
  await expect(page.getByRole("heading", { name: "Operations", level: 1 })).toBeVisible();
}

test("dead letters are read, replayed and dropped", async ({ page }) => {
  await withInstallation({}, async (installation) => {
    const { pk } = await newPerson(installation, "Broken Person");
    await openOperations(page, installation.url);
    await expect(page.getByText("No dead letters")).toBeVisible();
    for (let n = 0; n < 2; n++) await installation.breakDelivery(pk);
    const letters = page.getByRole("table", { name: "Dead letters" }).getByRole("button");
    await expect(letters).toHaveCount(2);

    // The replayed delivery still cannot be processed, so it returns under a new id.
    const first = (await letters.first().textContent()) ?? "";
    await letters.first().click();
    const details = page.getByRole("dialog", { name: "Dead letter" });
    await expect(details.getByText(/"pk": ?"none"/)).toBeVisible();
    await details.getByRole("button", { name: "Replay" }).click();
    await details.getByRole("group").getByRole("button", { name: "Replay" }).click();
    await expect(details.getByRole("status")).toHaveText(`Returned to the inbox as ${first}.replay-1.`);
    await page.keyboard.press("Escape");
    await letters.filter({ hasText: `${first}.replay-1` }).click();
    await details.getByRole("button", { name: "Drop" }).click();
    await details.getByRole("group").getByRole("button", { name: "Drop" }).click();
    await expect(letters).toHaveCount(1);

    await page.getByRole("button", { name: "Replay all" }).click();
    await page.getByRole("group").getByRole("button", { name: "Replay all" }).click();
    const actions = page.getByRole("table", { name: "Operator actions" }).getByRole("row");
    await expect(actions.filter({ hasText: "replay of all dead letters" })).toContainText("done");
    await expect(actions.filter({ hasText: `drop of ${first}.replay-1` })).toContainText("done");
  });
});

test("a rebuild switches a projection to a new generation", async ({ page }) => {
  await withInstallation({}, async (installation) => {
    await openOperations(page, installation.url);
    const row = page
      .getByRole("table", { name: "Projections" })
      .getByRole("row")
      .filter({ hasText: "users" });
    await expect(row.getByRole("cell").first()).toHaveText("1");
    await page.getByRole("button", { name: "Rebuild users" }).click();
    await expect(row.getByRole("cell").first()).toHaveText("2");
    const actions = page.getByRole("table", { name: "Operator actions" }).getByRole("row");
    await expect(actions.filter({ hasText: "rebuild of users" })).toContainText("fingerprint");
  });
});

test("the reason for an unready projector is shown", async ({ page }) => {
  await withInstallation({}, async (installation) => {
    await openOperations(page, installation.url);
    await expect(page.getByText("1 projector ready")).toBeVisible();
    await installation.injectFaults({ rest_status: 403 });
    await newPerson(installation, "Unseen Person").catch(() => {});
    await expect(page.getByText("1 of 1 not ready")).toBeVisible({ timeout: 30_000 });
    await expect(page.getByText(/token/).first()).toBeVisible();
  });
});
