import { defineConfig } from "@playwright/test";

export default defineConfig({
  testDir: "tests",
  // Each worker starts a whole installation, which is too much for several at a time.
  workers: 1,
  timeout: 60_000,
  expect: { timeout: 15_000 },
  forbidOnly: true,
  reporter: [["list"]],
  use: {
    viewport: { width: 1280, height: 800 },
    locale: "en-GB",
    actionTimeout: 15_000,
    trace: "retain-on-failure",
    // A system browser, because Playwright's own browsers are not part of its npm package.
    launchOptions: { executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium" },
  },
});
