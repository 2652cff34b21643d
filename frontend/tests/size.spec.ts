import { gzipSync } from "node:zlib";
import { expect, signIn, test } from "./fixtures.ts";

/** What a slow phone loads before the feed is seen. */
const MAX_BYTES = 200_000;

test("the feed needs little JavaScript", async ({ page, installation }) => {
  await signIn(page, installation.url);
  await expect(page.getByRole("article").first()).toBeVisible();
  const scripts: Promise<number>[] = [];
  page.on("response", (answer) => {
    if (!new URL(answer.url()).pathname.endsWith(".js")) return;
    scripts.push(answer.body().then((body) => gzipSync(body).length));
  });
  await page.reload();
  await expect(page.getByRole("article").first()).toBeVisible();
  const sizes = await Promise.all(scripts);
  expect(sizes.length).toBeGreaterThan(0);
  expect(sizes.reduce((sum, size) => sum + size)).toBeLessThan(MAX_BYTES);
});
