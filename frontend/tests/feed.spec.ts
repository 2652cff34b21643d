import type { Page } from "@playwright/test";
import { API_RESTART, event, expect, newPerson, registration, signIn, test } from "./fixtures.ts";
import type { Installation } from "./installation.ts";

/** The ids of all listed events, oldest first. Scrolls through the list, since only visible rows are rendered. */
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
    const isAtEnd = await list.evaluate((element) => {
      const isAtEnd = element.scrollTop + element.clientHeight >= element.scrollHeight - 1;
      element.scrollTo(0, isAtEnd ? 0 : element.scrollTop + element.clientHeight / 2);
      return isAtEnd;
    });
    // An event that arrived meanwhile moved the others down: begin again.
    if (isAtEnd) ids.clear();
  }
  return [...ids].sort(([a], [b]) => b - a).map(([, id]) => id);
}

async function createLogins(installation: Installation, n: number): Promise<void> {
  const person = await newPerson(installation, "Busy Person");
  for (let i = 0; i < n; i++) await installation.login(person.pk);
}

test("no event is missing or duplicated after a restart of the API", async ({
  page,
  installation,
  allowedErrors,
}) => {
  allowedErrors.push(API_RESTART);
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

test("the list restarts with a notice when the log is another one", async ({
  page,
  installation,
  allowedErrors,
}) => {
  allowedErrors.push(/status of 410/);
  await signIn(page, installation.url);
  await newPerson(installation, "Still Here");
  await expect(registration(page, "Still Here")).toBeVisible();
  await page.evaluate(() => {
    const key = Object.keys(sessionStorage).find((name) => name.startsWith("feed-from"));
    if (key) sessionStorage.setItem(key, "anotherepoch-7");
  });
  await page.reload();
  await expect(
    page.getByText("The list was restarted: the cursor belongs to another stream of events."),
  ).toBeVisible();
  await expect(registration(page, "Still Here")).toBeVisible();
});

test("the URL contains the filter, and a reload shows the same events", async ({ page, installation }) => {
  const { pk } = await newPerson(installation, "Filtered Person");
  await signIn(page, installation.url);
  await expect(registration(page, "Filtered Person")).toBeVisible();
  await page.getByRole("button", { name: "Filter" }).click();
  await page.getByRole("combobox", { name: "Event types" }).click();
  await page.getByRole("option", { name: "user-registered" }).click();
  await page.keyboard.press("Escape");
  await page.getByRole("combobox", { name: "User", exact: true }).fill("Filtered");
  await page.getByRole("option", { name: /Filtered Person/ }).click();
  await expect(page).toHaveURL(new RegExp(`type=user-registered&user=${pk}`));
  await expect(page.getByRole("article")).toHaveCount(1);
  await page.reload();
  await expect(registration(page, "Filtered Person")).toBeVisible();
  await expect(page.getByRole("article")).toHaveCount(1);
  await page.getByRole("button", { name: "Clear filters" }).click();
  await expect(page.getByRole("article").nth(1)).toBeVisible();
});

test("a paused list does not change, and shows new events after Resume", async ({ page, installation }) => {
  await signIn(page, installation.url);
  await expect(page.getByRole("article").first()).toBeVisible();
  await page.getByRole("button", { name: "Pause" }).click();
  await newPerson(installation, "Held Back");
  await expect(page.getByRole("button", { name: /Resume \(\d+ new\)/ })).toBeVisible();
  await expect(registration(page, "Held Back")).toHaveCount(0);
  await page.getByRole("button", { name: /Resume/ }).click();
  await expect(registration(page, "Held Back")).toBeVisible();
});

test("a paused list shows no new events under another filter either", async ({ page, installation }) => {
  const { pk } = await newPerson(installation, "Before Pause");
  await signIn(page, installation.url);
  await expect(registration(page, "Before Pause")).toBeVisible();
  // The newest event does not match the filter.
  await installation.login(pk);
  await expect(event(page, /Before Pause signed in/)).toBeVisible();
  await page.getByRole("button", { name: "Pause" }).click();
  await newPerson(installation, "Behind Filter");
  await expect(page.getByRole("button", { name: /Resume \(\d+ new\)/ })).toBeVisible();
  await page.getByRole("button", { name: "Filter" }).click();
  await page.getByRole("combobox", { name: "Event types" }).click();
  await page.getByRole("option", { name: "user-registered" }).click();
  await page.keyboard.press("Escape");
  await expect(event(page, /Before Pause signed in/)).toHaveCount(0);
  await expect(registration(page, "Before Pause")).toBeVisible();
  await expect(registration(page, "Behind Filter")).toHaveCount(0);
  await page.getByRole("button", { name: "Clear filters" }).click();
  await expect(event(page, /Before Pause signed in/)).toBeVisible();
  await expect(registration(page, "Behind Filter")).toHaveCount(0);
  await page.getByRole("button", { name: /Resume/ }).click();
  await expect(registration(page, "Behind Filter")).toBeVisible();
});

test("a scrolled list does not move, and offers new events", async ({ page, installation }) => {
  await createLogins(installation, 40);
  await signIn(page, installation.url);
  const list = page.getByRole("region", { name: "Events, newest first" });
  await expect(page.getByRole("article", { name: /Busy Person signed in/ }).nth(5)).toBeVisible();
  const length = async () => Number(await list.getByRole("article").first().getAttribute("aria-setsize"));
  await expect.poll(length).toBeGreaterThan(40);
  await list.evaluate((element) => element.scrollTo(0, 400));
  // Rows are rendered a frame after the scroll. The first one is gone when the new rows are there.
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

test("the details show the event's JSON and copy it", async ({ page, context, installation }) => {
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

test("the feed can be used with the keyboard", async ({ page, installation }) => {
  await newPerson(installation, "Keyboard Person");
  await signIn(page, installation.url);
  await expect(registration(page, "Keyboard Person")).toBeVisible();
  await page.keyboard.press("Tab");
  await expect(page.getByRole("link", { name: "Skip to content" })).toBeFocused();
  const details = page.getByRole("article").first().getByRole("button", { name: "Details" });
  for (let n = 0; n < 40 && !(await details.evaluate((element) => element === document.activeElement)); n++) {
    await page.keyboard.press("Tab");
  }
  await page.keyboard.press("Enter");
  await expect(page.getByRole("dialog", { name: "Event" })).toBeVisible();
  await page.keyboard.press("Escape");
  await expect(details).toBeFocused();
});

test("a button loads older events", async ({ page, installation }) => {
  await newPerson(installation, "Recent Person");
  await signIn(page, installation.url);
  await expect(registration(page, "Recent Person")).toBeVisible();
  // Make the list start in the middle of the log, as it does in a log of thousands of events.
  await page.evaluate(() => {
    const key = Object.keys(sessionStorage).find((name) => name.startsWith("feed-from"));
    const epoch = key && sessionStorage.getItem(key)?.replace(/-\d+$/, "");
    if (key) sessionStorage.setItem(key, `${epoch}-8`);
  });
  await page.reload();
  await page.getByRole("button", { name: "Load older events" }).click();
  await expect(page.getByText("There are no earlier events.")).toBeAttached();
  expect(await shownIds(page)).toEqual(await installation.recordedIds());
});
