import type { Browser } from "@playwright/test";
import { AWAY, expect, signIn, test, withInstallation } from "./fixtures.ts";

const N_EVENTS = 5_000;

/** Longer than this, and a click or a key press is felt as late. */
const LONGEST_TASK_MS = 200;

// The recorder's snapshots would be measured as well.
test.use({ trace: "off" });

/** What is used of an event of Chromium's own recorder. */
interface TraceEvent {
  name: string;
  pid: number;
  tid: number;
  args: { name?: string };
  /** Microseconds that the thread itself ran. */
  tdur?: number;
}

async function stopMeasuring(browser: Browser): Promise<number[]> {
  const trace = await browser.stopTracing();
  const { traceEvents }: { traceEvents: TraceEvent[] } = JSON.parse(trace.toString());
  const pages = traceEvents.filter(
    ({ name, args }) => name === "thread_name" && args.name === "CrRendererMain",
  );
  const isOfPage = ({ pid, tid }: TraceEvent) => pages.some((page) => page.pid === pid && page.tid === tid);
  const tasks = traceEvents.filter((event) => event.name.endsWith("RunTask") && isOfPage(event));
  return tasks.map(({ tdur = 0 }) => tdur / 1000);
}

test("thousands of events within seconds hold nobody up", async ({ page, forgiven }) => {
  forgiven.push(AWAY);
  test.setTimeout(180_000);
  const browser = page.context().browser();
  if (!browser) throw new Error("the page has no browser");
  await withInstallation({}, async (installation) => {
    await signIn(page, installation.url);
    // Not the observer of long tasks: it counts the time that the machine spends on others as the page's.
    await browser.startTracing(page, { categories: ["toplevel"] });
    await installation.importUsers(N_EVENTS, "many-");
    const article = page.getByRole("article").first();
    await expect
      .poll(async () => Number(await article.getAttribute("aria-setsize")), { timeout: 90_000 })
      .toBeGreaterThan(N_EVENTS);
    // It is still a page that answers.
    await page.getByRole("button", { name: "Pause" }).click();
    await expect(page.getByRole("button", { name: /Go on/ })).toBeVisible();
    const tasks = await stopMeasuring(browser);
    expect(tasks.length).toBeGreaterThan(100);
    expect(Math.max(...tasks)).toBeLessThan(LONGEST_TASK_MS);
  });
});
