import { test, withInstallation } from "./fixtures.ts";
import { bringToLife, VISITS } from "./pages.ts";

for (const theme of ["light", "dark"] as const) {
  test(`every page in ${theme} @screenshots`, async ({ page }) => {
    test.setTimeout(180_000);
    await page.emulateMedia({ colorScheme: theme, reducedMotion: "reduce" });
    await withInstallation({}, async (installation) => {
      await bringToLife(installation);
      for (const { name, open } of VISITS) {
        await open(page, installation);
        await page.screenshot({ path: `screenshots/${name}-${theme}.png`, scale: "css" });
      }
    });
  });
}
