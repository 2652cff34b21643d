import { expect, signIn, test, withInstallation } from "./fixtures.ts";

const N_EVENTS = 5_000;

/** Longer than this, and a click or a key press is felt as late. */
const LONGEST_TASK_MS = 200;

// The recorder's snapshots would be measured as well.
test.use({ trace: "off" });

declare global {
  interface Window {
    longestTask: number;
  }
}

test("thousands of events within seconds hold nobody up", async ({ page }) => {
  test.setTimeout(180_000);
  await withInstallation({}, async (installation) => {
    await signIn(page, installation.url);
    await page.evaluate(() => {
      window.longestTask = 0;
      new PerformanceObserver((tasks) => {
        for (const { duration } of tasks.getEntries())
          window.longestTask = Math.max(window.longestTask, duration);
      }).observe({ type: "longtask" });
    });
    await installation.importUsers(N_EVENTS, "many-");
    const article = page.getByRole("article").first();
    await expect
      .poll(async () => Number(await article.getAttribute("aria-setsize")), { timeout: 90_000 })
      .toBeGreaterThan(N_EVENTS);
    // It is still a page that answers.
    await page.getByRole("button", { name: "Pause" }).click();
    await expect(page.getByRole("button", { name: /Go on/ })).toBeVisible();
    expect(await page.evaluate(() => window.longestTask)).toBeLessThan(LONGEST_TASK_MS);
  });
});
