import AxeBuilder from "@axe-core/playwright";
import type { Page } from "@playwright/test";
import { expect, test, withInstallation } from "./fixtures.ts";
import { bringToLife, VISITS } from "./pages.ts";

/** What axe finds that keeps somebody from using the page. */
async function serious(page: Page): Promise<string[]> {
  const { violations } = await new AxeBuilder({ page }).analyze();
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`));
}

for (const theme of ["light", "dark"] as const) {
  test(`nothing on any page keeps anybody out, in ${theme}`, async ({ page }) => {
    test.setTimeout(180_000);
    await page.emulateMedia({ colorScheme: theme, reducedMotion: "reduce" });
    await withInstallation({}, async (installation) => {
      await bringToLife(installation);
      for (const { name, open } of VISITS) {
        await test.step(name, async () => {
          await open(page, installation);
          expect.soft(await serious(page)).toEqual([]);
        });
      }
    });
  });
}

test("every page fits on a narrow screen", async ({ page }) => {
  test.setTimeout(180_000);
  await page.setViewportSize({ width: 360, height: 740 });
  await withInstallation({}, async (installation) => {
    await bringToLife(installation);
    for (const { name, open } of VISITS) {
      await test.step(name, async () => {
        await open(page, installation);
        expect.soft(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(360);
      });
    }
  });
});
