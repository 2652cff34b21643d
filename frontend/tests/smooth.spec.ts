import type { Browser, JSHandle, Page } from "@playwright/test";
import { AWAY, expect, signIn, test, withInstallation } from "./fixtures.ts";

const N_EVENTS = 5_000;

/** From the first of them to the last, on the page. */
const WITHIN_MS = 10_000;

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

/** That the list held so many events then, by the clock of the page. */
interface Growth {
  time: number;
  size: number;
}

/** Has the page itself note how its list grows: who asks it from outside waits for an answer. */
async function watchGrowth(page: Page): Promise<JSHandle<Growth[]>> {
  const list = page.getByRole("region", { name: "Events, newest first" });
  return await list.evaluateHandle((element) => {
    const size = () => Number(element.querySelector("article")?.ariaSetSize ?? 0);
    const growth = [{ time: performance.now(), size: size() }];
    const note = () => {
      if (size() !== growth.at(-1)?.size) growth.push({ time: performance.now(), size: size() });
    };
    const change = { subtree: true, childList: true, attributeFilter: ["aria-setsize"] };
    new MutationObserver(note).observe(element, change);
    return growth;
  });
}

/** From the first event that came to the one with which so many had come, if they have. */
function msToGrow([before, ...growth]: readonly Growth[], nEvents: number): number | null {
  const last = growth.find(({ size }) => size >= (before?.size ?? 0) + nEvents);
  return growth[0] && last ? last.time - growth[0].time : null;
}

test("thousands of events within seconds hold nobody up", async ({ page, forgiven }) => {
  forgiven.push(AWAY, /ERR_INTERNET_DISCONNECTED/);
  test.setTimeout(240_000);
  const browser = page.context().browser();
  if (!browser) throw new Error("the page has no browser");
  await withInstallation({}, async (installation) => {
    await signIn(page, installation.url);
    await expect(page.getByRole("article").first()).toBeVisible();
    const nBefore = (await installation.recordedIds()).length;
    // Half of them wait for the page, the others are recorded before its eyes: then they come fast enough also where
    // other things keep the server busy.
    await page.context().setOffline(true);
    await installation.importUsers(N_EVENTS, "many-");
    await expect
      .poll(async () => (await installation.recordedIds()).length, { timeout: 90_000, intervals: [100] })
      .toBeGreaterThan(nBefore + N_EVENTS / 2);
    const growing = await watchGrowth(page);
    // Not the observer of long tasks: it counts the time that the machine spends on others as the page's.
    await browser.startTracing(page, { categories: ["toplevel"] });
    await page.context().setOffline(false);
    const duration = async () => msToGrow(await growing.jsonValue(), N_EVENTS);
    await expect.poll(duration, { timeout: 60_000 }).not.toBeNull();
    expect(await duration()).toBeLessThan(WITHIN_MS);
    // It is still a page that answers.
    await page.getByRole("button", { name: "Pause" }).click();
    await expect(page.getByRole("button", { name: /Go on/ })).toBeVisible();
    const tasks = await stopMeasuring(browser);
    expect(tasks.length).toBeGreaterThan(100);
    expect(Math.max(...tasks)).toBeLessThan(LONGEST_TASK_MS);
  });
});
