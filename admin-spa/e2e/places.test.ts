// Where people are: in another time zone than the relay, and on plain http, where browsers lend no clipboard.

import assert from "node:assert/strict";
import { after, test } from "node:test";

import { Console, closeBrowser } from "./support/console.ts";

after(closeBrowser);

const HOUR = 3_600_000;
/** As the page writes a moment that is not today, in a zone without a name. */
const shown = (at: number, offset: number, options: Intl.DateTimeFormatOptions) =>
  new Intl.DateTimeFormat("en", { timeZone: "UTC", ...options }).format(new Date(at + offset));

test("days are the relay's and moments the browser's, eight hours west and east of Greenwich", async (t) => {
  const made = await Console.start(t, { settings: { TIMEZONE_OFFSET: "8" } });
  // Arizona is an hour further and has no summer time; Etc/GMT+8 is UTC-8 all year.
  await made.look({ timezone: "Etc/GMT+8" });
  const key = await made.api<{ id: string; key: string }>("POST", "/admin/api-keys", { name: "Ada", dailyCostLimit: 10 });
  const response = await fetch(`${made.relay.url}/api/v1/messages`, { method: "POST", body: "{}", headers: { "x-api-key": key.key } });
  await response.text();
  const page = await made.open(`api-stats?apiId=${key.id}`);
  const limits = page.getByRole("region", { name: "What is left" });
  // Midnight of the relay is 16:00 UTC: 08:00 in the browser.
  await limits.getByText("08:00").waitFor();
  const resets = await limits.locator("time").first().getAttribute("datetime");
  assert.match(resets ?? "", /T16:00:00/);
  assert.match((await limits.locator("time").first().getAttribute("title")) ?? "", /08:00:00 UTC−8/);
  // The newest day of the trend is the relay's, though the browser may have another.
  const trend = page.getByRole("region", { name: "Over time" });
  await trend.getByText("UTC+8").waitFor();
  await trend.getByText(shown(Date.now(), 8 * HOUR, { month: "short", day: "numeric" })).first().waitFor();

  // The audit's days are those of the zone on screen: the browser's, then the relay's.
  await made.login("audit");
  const zones = await page.evaluate(() => localStorage.getItem("crs-zone"));
  assert.equal(zones, null, "the browser's zone is the standard");
  const from = async () => {
    const request = page.waitForRequest((request) => request.url().includes("/admin/audit?") && request.url().includes("from="));
    await page.reload();
    return new URL((await request).url()).searchParams.get("from");
  };
  await made.open("audit?from=2026-01-31");
  assert.equal(await from(), "2026-01-31T08:00:00.000Z");
  await page.evaluate(() => localStorage.setItem("crs-zone", "utc"));
  assert.equal(await from(), "2026-01-31T00:00:00.000Z");
});

test("a key is copied on plain http, where there is no clipboard to ask", async (t) => {
  const made = await Console.start(t);
  const plain = new URL(made.origin);
  plain.hostname = "plain.test";
  made.watch.allowOrigin(plain.origin);
  // The browser says that it heeds the header on https only.
  made.watch.allow(/Cross-Origin-Opener-Policy header has been ignored/);
  const page = made.page;
  await page.goto(`${plain.origin}/admin-next/api-keys/new`);
  await page.waitForURL(/\/admin-next\/login/);
  assert.equal(await page.evaluate(() => window.isSecureContext), false);
  await made.submitLogin();
  await page.getByLabel("Name", { exact: true }).fill("Ada");
  await page.keyboard.press("Enter");
  const secret = page.getByLabel("Key", { exact: true });
  await secret.waitFor();
  const key = await secret.innerText();
  await page.getByRole("button", { name: "Copy", exact: true }).first().click();
  await page.getByRole("status").filter({ hasText: "Copied" }).first().waitFor({ state: "attached" });
  // What the clipboard has is seen by pasting it.
  await page.goto(`${plain.origin}/admin-next/tutorial`);
  await page.getByLabel("Your key").focus();
  await page.keyboard.press("Control+V");
  assert.equal(await page.getByLabel("Your key").inputValue(), key);
});
