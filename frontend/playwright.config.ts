import { defineConfig } from "@playwright/test";

export default defineConfig({
  testDir: "tests",
  // Each worker starts a whole installation.
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
    // Debian's, as browsers of the package are not on its registry.
    launchOptions: { executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium" },
  },
});
