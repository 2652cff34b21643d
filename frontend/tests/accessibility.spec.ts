import AxeBuilder from "@axe-core/playwright";
import type { Page } from "@playwright/test";
import { expect, test } from "./fixtures.ts";
import { visitEveryPage } from "./pages.ts";

/** The violations that axe rates as serious or critical. */
async function seriousViolations(page: Page): Promise<string[]> {
  const { violations } = await new AxeBuilder({ page }).analyze();
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`));
}

for (const theme of ["light", "dark"] as const) {
  test(`no page has a serious accessibility violation in the ${theme} theme`, async ({ page }) => {
    await page.emulateMedia({ colorScheme: theme, reducedMotion: "reduce" });
    await visitEveryPage(page, async () => expect.soft(await seriousViolations(page)).toEqual([]));
  });
}

test("every page fits on a narrow screen", async ({ page }) => {
  await page.setViewportSize({ width: 360, height: 740 });
  await visitEveryPage(page, async () => {
    expect.soft(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(360);
  });
});
