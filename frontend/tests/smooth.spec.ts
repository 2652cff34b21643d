import type { Browser, JSHandle, Page } from "@playwright/test";
import { API_RESTART, expect, signIn, test, withInstallation } from "./fixtures.ts";

const N_EVENTS = 5_000;

/** The longest time from the first to the last of these events on the page. */
const MAX_MS = 10_000;

/** A longer task delays clicks and key presses noticeably. */
const MAX_TASK_MS = 200;

// Playwright's snapshots would count as work of the page.
test.use({ trace: "off" });

/** The fields of a Chromium trace event that this test uses. */
interface TraceEvent {
  name: string;
  pid: number;
  tid: number;
  args: { name?: string };
  /** CPU time of the thread in microseconds. */
  tdur?: number;
}

/** Stops the trace and returns the CPU time of each task of the page in milliseconds. */
async function stopTrace(browser: Browser): Promise<number[]> {
  const trace = await browser.stopTracing();
  const { traceEvents }: { traceEvents: TraceEvent[] } = JSON.parse(trace.toString());
  const pages = traceEvents.filter(
    ({ name, args }) => name === "thread_name" && args.name === "CrRendererMain",
  );
  const isOfPage = ({ pid, tid }: TraceEvent) => pages.some((page) => page.pid === pid && page.tid === tid);
  const tasks = traceEvents.filter((event) => event.name.endsWith("RunTask") && isOfPage(event));
  return tasks.map(({ tdur = 0 }) => tdur / 1000);
}

/** The size of the list at a time of the page's clock. */
interface Growth {
  time: number;
  size: number;
}

/** Makes the page record the growth of its list. Polling from the test would be too slow while the page is busy. */
async function watchGrowth(page: Page): Promise<JSHandle<Growth[]>> {
  const list = page.getByRole("region", { name: "Events, newest first" });
  return await list.evaluateHandle((element) => {
    const size = () => Number(element.querySelector("article")?.ariaSetSize ?? 0);
    const growth = [{ time: performance.now(), size: size() }];
    const record = () => {
      if (size() !== growth.at(-1)?.size) growth.push({ time: performance.now(), size: size() });
    };
    const change = { subtree: true, childList: true, attributeFilter: ["aria-setsize"] };
    new MutationObserver(record).observe(element, change);
    return growth;
  });
}

/** The time from the first new event to the last of `nEvents`; null until all have arrived. */
function msToGrow([before, ...growth]: readonly Growth[], nEvents: number): number | null {
  const last = growth.find(({ size }) => size >= (before?.size ?? 0) + nEvents);
  return growth[0] && last ? last.time - growth[0].time : null;
}

test("the page stays responsive while thousands of events arrive", async ({ page, allowedErrors }) => {
  allowedErrors.push(API_RESTART, /ERR_INTERNET_DISCONNECTED/);
  test.setTimeout(240_000);
  const browser = page.context().browser();
  if (!browser) throw new Error("the page has no browser");
  await withInstallation({}, async (installation) => {
    await signIn(page, installation.url);
    await expect(page.getByRole("article").first()).toBeVisible();
    const nBefore = (await installation.recordedIds()).length;
    // At least half of the events wait for the page to reconnect, so that they arrive fast enough on a busy server too.
    await page.context().setOffline(true);
    await installation.importUsers(N_EVENTS, "many-");
    await expect
      .poll(async () => (await installation.recordedIds()).length, { timeout: 90_000, intervals: [100] })
      .toBeGreaterThan(nBefore + N_EVENTS / 2);
    const growing = await watchGrowth(page);
    // The trace has CPU times. The browser's long task observer has wall times, which include other processes.
    await browser.startTracing(page, { categories: ["toplevel"] });
    await page.context().setOffline(false);
    const duration = async () => msToGrow(await growing.jsonValue(), N_EVENTS);
    await expect.poll(duration, { timeout: 60_000 }).not.toBeNull();
    expect(await duration()).toBeLessThan(MAX_MS);
    // The page still reacts to a click.
    await page.getByRole("button", { name: "Pause" }).click();
    await expect(page.getByRole("button", { name: /Resume/ })).toBeVisible();
    const tasks = await stopTrace(browser);
    expect(tasks.length).toBeGreaterThan(100);
    expect(Math.max(...tasks)).toBeLessThan(MAX_TASK_MS);
  });
});
