import type { Page } from "@playwright/test";
import { AWAY, event, expect, newPerson, registration, signIn, test } from "./fixtures.ts";
import type { Installation } from "./installation.ts";

/** The ids of all events in the page's list, read by scrolling through it. */
async function shownIds(page: Page): Promise<string[]> {
  const list = page.getByRole("region", { name: "Events, newest first" });
  const ids = new Map<number, string>();
  await list.evaluate((element) => element.scrollTo(0, 0));
  for (;;) {
    const articles = await list
      .getByRole("article")
      .evaluateAll((elements) =>
        elements.map(
          (element) => [Number(element.ariaPosInSet), element.id, Number(element.ariaSetSize)] as const,
        ),
      );
    for (const [position, id] of articles) ids.set(position, id);
    if (ids.size >= (articles[0]?.[2] ?? 0)) break;
    await list.evaluate((element) => element.scrollBy(0, element.clientHeight / 2));
  }
  return [...ids].sort(([a], [b]) => b - a).map(([, id]) => id);
}

async function logInOften(installation: Installation, n: number): Promise<void> {
  const person = await newPerson(installation, "Busy Person");
  for (let i = 0; i < n; i++) await installation.login(person.pk);
}

test("no event is missing or doubled after the API was restarted", async ({
  page,
  installation,
  forgiven,
}) => {
  forgiven.push(AWAY);
  await signIn(page, installation.url);
  await newPerson(installation, "Before Restart");
  await expect(registration(page, "Before Restart")).toBeVisible();
  await installation.restart();
  await newPerson(installation, "After Restart");
  await expect(registration(page, "After Restart")).toBeVisible({ timeout: 30_000 });
  await expect(page.getByRole("status", { name: "Feed: live" })).toBeVisible();
  const recorded = await installation.recordedIds();
  await expect.poll(() => shownIds(page)).toEqual(recorded);
});

test("the list is the same after a reload", async ({ page, installation }) => {
  await signIn(page, installation.url);
  await newPerson(installation, "Before Reload");
  await expect(registration(page, "Before Reload")).toBeVisible();
  await page.reload();
  await expect(registration(page, "Before Reload")).toBeVisible();
  expect(await shownIds(page)).toEqual(await installation.recordedIds());
});

test("a list of another log begins anew, and says so", async ({ page, installation, forgiven }) => {
  forgiven.push(/status of 410/);
  await signIn(page, installation.url);
  await newPerson(installation, "Still Here");
  await expect(registration(page, "Still Here")).toBeVisible();
  await page.evaluate(() => {
    const key = Object.keys(sessionStorage).find((name) => name.startsWith("feed-from"));
    if (key) sessionStorage.setItem(key, "anotherepoch-7");
  });
  await page.reload();
  await expect(
    page.getByText("The list begins anew: the cursor belongs to another stream of events."),
  ).toBeVisible();
  await expect(registration(page, "Still Here")).toBeVisible();
});

test("filters stand in the address, and a link with them shows the same", async ({ page, installation }) => {
  const { pk } = await newPerson(installation, "Filtered Person");
  await signIn(page, installation.url);
  await expect(registration(page, "Filtered Person")).toBeVisible();
  await page.getByRole("button", { name: "Filter" }).click();
  await page.getByRole("combobox", { name: "Types of events" }).click();
  await page.getByRole("option", { name: "user-registered" }).click();
  await page.keyboard.press("Escape");
  await page.getByRole("combobox", { name: "User", exact: true }).fill("Filtered");
  await page.getByRole("option", { name: /Filtered Person/ }).click();
  await expect(page).toHaveURL(new RegExp(`type=user-registered&user=${pk}`));
  await expect(page.getByRole("article")).toHaveCount(1);
  await page.reload();
  await expect(registration(page, "Filtered Person")).toBeVisible();
  await expect(page.getByRole("article")).toHaveCount(1);
  await page.getByRole("button", { name: "Show all" }).click();
  await expect(page.getByRole("article").nth(1)).toBeVisible();
});

test("a paused list stands still, and goes on with what it held back", async ({ page, installation }) => {
  await signIn(page, installation.url);
  await expect(page.getByRole("article").first()).toBeVisible();
  await page.getByRole("button", { name: "Pause" }).click();
  await newPerson(installation, "Held Back");
  await expect(page.getByRole("button", { name: /Go on \(\d+ new\)/ })).toBeVisible();
  await expect(registration(page, "Held Back")).toHaveCount(0);
  await page.getByRole("button", { name: /Go on/ }).click();
  await expect(registration(page, "Held Back")).toBeVisible();
});

test("a paused list stands still under another filter as well", async ({ page, installation }) => {
  const { pk } = await newPerson(installation, "Before Pause");
  await signIn(page, installation.url);
  await expect(registration(page, "Before Pause")).toBeVisible();
  // The newest event is none that the filter passes.
  await installation.login(pk);
  await expect(event(page, /Before Pause signed in/)).toBeVisible();
  await page.getByRole("button", { name: "Pause" }).click();
  await newPerson(installation, "Behind Filter");
  await expect(page.getByRole("button", { name: /Go on \(\d+ new\)/ })).toBeVisible();
  await page.getByRole("button", { name: "Filter" }).click();
  await page.getByRole("combobox", { name: "Types of events" }).click();
  await page.getByRole("option", { name: "user-registered" }).click();
  await page.keyboard.press("Escape");
  await expect(event(page, /Before Pause signed in/)).toHaveCount(0);
  await expect(registration(page, "Before Pause")).toBeVisible();
  await expect(registration(page, "Behind Filter")).toHaveCount(0);
  await page.getByRole("button", { name: "Show all" }).click();
  await expect(event(page, /Before Pause signed in/)).toBeVisible();
  await expect(registration(page, "Behind Filter")).toHaveCount(0);
  await page.getByRole("button", { name: /Go on/ }).click();
  await expect(registration(page, "Behind Filter")).toBeVisible();
});

test("who reads further down is not moved, and sees that there is more", async ({ page, installation }) => {
  await logInOften(installation, 40);
  await signIn(page, installation.url);
  const list = page.getByRole("region", { name: "Events, newest first" });
  await expect(page.getByRole("article", { name: /Busy Person signed in/ }).nth(5)).toBeVisible();
  const length = async () => Number(await list.getByRole("article").first().getAttribute("aria-setsize"));
  await expect.poll(length).toBeGreaterThan(40);
  await list.evaluate((element) => element.scrollTo(0, 400));
  // The rows follow a frame later: which of them is the thirteenth is known when the first is gone.
  await expect(list.locator("[aria-posinset='1']")).toHaveCount(0);
  const id = await list.getByRole("article").nth(12).getAttribute("id");
  const read = list.locator(`[id="${id}"]`);
  const before = await read.boundingBox();
  expect(before).not.toBeNull();
  await newPerson(installation, "Meanwhile Registered");
  const news = page.getByRole("button", { name: /new event/ });
  await expect(news).toBeVisible();
  expect(await read.boundingBox()).toEqual(before);
  await news.click();
  await expect(registration(page, "Meanwhile Registered")).toBeVisible();
});

test("details show the event as it was sent, and copy it", async ({ page, context, installation }) => {
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  const { pk } = await newPerson(installation, "Detailed Person");
  await signIn(page, installation.url);
  const row = registration(page, "Detailed Person");
  await row.getByRole("button", { name: "Details" }).click();
  const details = page.getByRole("dialog", { name: "Event" });
  await expect(details.getByText('"specversion": "1.0"')).toBeVisible();
  await details.getByRole("button", { name: "Copy" }).click();
  await expect(details.getByRole("button", { name: "Copied" })).toBeVisible();
  const copied = JSON.parse(await page.evaluate(() => navigator.clipboard.readText()));
  expect(copied).toMatchObject({ type: "user-registered", subject: `user/${pk}` });
  await page.keyboard.press("Escape");
  await expect(details).toBeHidden();
});

test("everything is in reach of the keyboard", async ({ page, installation }) => {
  await newPerson(installation, "Keyboard Person");
  await signIn(page, installation.url);
  await expect(registration(page, "Keyboard Person")).toBeVisible();
  await page.keyboard.press("Tab");
  await expect(page.getByRole("link", { name: "Skip to the content" })).toBeFocused();
  const details = page.getByRole("article").first().getByRole("button", { name: "Details" });
  for (let n = 0; n < 40 && !(await details.evaluate((element) => element === document.activeElement)); n++) {
    await page.keyboard.press("Tab");
  }
  await page.keyboard.press("Enter");
  await expect(page.getByRole("dialog", { name: "Event" })).toBeVisible();
  await page.keyboard.press("Escape");
  await expect(details).toBeFocused();
});

test("older events are fetched when they are asked for", async ({ page, installation }) => {
  await newPerson(installation, "Recent Person");
  await signIn(page, installation.url);
  await expect(registration(page, "Recent Person")).toBeVisible();
  // A list that begins in the middle of the log, as it does where there are thousands.
  await page.evaluate(() => {
    const key = Object.keys(sessionStorage).find((name) => name.startsWith("feed-from"));
    const epoch = key && sessionStorage.getItem(key)?.replace(/-\d+$/, "");
    if (key) sessionStorage.setItem(key, `${epoch}-8`);
  });
  await page.reload();
  await page.getByRole("button", { name: "Load older events" }).click();
  await expect(page.getByText("This is the beginning.")).toBeAttached();
  expect(await shownIds(page)).toEqual(await installation.recordedIds());
});
