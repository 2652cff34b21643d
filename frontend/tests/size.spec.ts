import { gzipSync } from "node:zlib";
import { expect, signIn, test } from "./fixtures.ts";

/** The most compressed JavaScript that the feed may need, so that it loads fast on a slow phone. */
const MAX_BYTES = 200_000;

test("the feed loads little JavaScript", async ({ page, installation }) => {
  await signIn(page, installation.url);
  await expect(page.getByRole("article").first()).toBeVisible();
  const scripts: Promise<number>[] = [];
  page.on("response", (response) => {
    if (!new URL(response.url()).pathname.endsWith(".js")) return;
    scripts.push(response.body().then((body) => gzipSync(body).length));
  });
  await page.reload();
  await expect(page.getByRole("article").first()).toBeVisible();
  const sizes = await Promise.all(scripts);
  expect(sizes.length).toBeGreaterThan(0);
  expect(sizes.reduce((sum, size) => sum + size)).toBeLessThan(MAX_BYTES);
});
