import { test } from "./fixtures.ts";
import { visitEveryPage } from "./pages.ts";

for (const theme of ["light", "dark"] as const) {
  test(`screenshots of every page in the ${theme} theme @screenshots`, async ({ page }) => {
    await page.emulateMedia({ colorScheme: theme, reducedMotion: "reduce" });
    await visitEveryPage(page, async (name) => {
      await page.screenshot({ path: `screenshots/${name}-${theme}.png`, scale: "css" });
    });
  });
}
