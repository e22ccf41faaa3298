// The session in the browser: where it is kept, how it is renewed and ends, and what asks when nobody looks.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import type { Page } from "playwright-core";

import { Console, closeBrowser } from "./support/console.ts";

after(closeBrowser);

const stored = (page: Page) => page.evaluate(() => JSON.parse(sessionStorage.getItem("crs-session") ?? "null") as { token: string } | null);

/** What a page asks of the API from now on, as `GET /admin/accounts`. */
function asked(page: Page): string[] {
  const requests: string[] = [];
  page.on("request", (request) => {
    const { pathname } = new URL(request.url());
    if (!pathname.startsWith("/admin-next/")) requests.push(`${request.method()} ${pathname}`);
  });
  return requests;
}

test("the token is in sessionStorage only, in all tabs, and gone from all at logout", async (t) => {
  const made = await Console.start(t);
  const first = await made.loginByHand("accounts");
  const second = await made.context.newPage();
  await second.goto(`${made.origin}/admin-next/api-keys`);
  await second.getByRole("heading", { name: "Keys" }).waitFor();
  const token = (await stored(first))?.token ?? "";
  assert.ok(token.length > 20);
  assert.equal((await stored(second))?.token, token, "a new tab is logged in, too");
  for (const page of [first, second]) {
    const elsewhere = await page.evaluate(() => JSON.stringify(localStorage) + document.cookie + location.href + document.documentElement.outerHTML);
    assert.ok(!elsewhere.includes(token), "the token is elsewhere, too");
  }
  await second.getByRole("button", { name: /^Account, language and theme|cr_admin/ }).click();
  await second.getByRole("menuitem", { name: "Log out" }).click();
  for (const page of [first, second]) {
    await page.waitForURL(/\/admin-next\/login/);
    assert.equal(await stored(page), null);
    assert.ok(!(await page.evaluate(() => JSON.stringify(sessionStorage))).includes(token));
  }
  // The page is gone before the relay has heard of it.
  const taken = async () => (await fetch(`${made.relay.url}/web/auth/user`, { headers: { authorization: `Bearer ${token}` } })).status;
  for (let tries = 0; tries < 100 && (await taken()) !== 401; tries++) await setTimeout(50);
  assert.equal(await taken(), 401, "the relay takes the token no more");
});

test("a token is renewed once before its end, for all tabs", async (t) => {
  const made = await Console.start(t);
  await made.page.clock.install();
  const page = await made.loginByHand("accounts");
  const other = await made.context.newPage();
  await other.goto(`${made.origin}/admin-next/accounts`);
  await other.getByRole("heading", { name: "Accounts" }).waitFor();
  const before = (await stored(page))?.token;
  const requests = asked(page);
  const refreshes = () => requests.filter((one) => one === "POST /web/auth/refresh").length;
  // Of a day a fifth is left after 19.2 hours. Somebody is there: they press a key.
  await page.clock.fastForward("18:00:00");
  await page.keyboard.press("Shift");
  await page.clock.runFor(3_000);
  assert.equal(refreshes(), 0, "too early");
  await page.clock.fastForward("02:00:00");
  const renewed = page.waitForResponse((response) => response.url().endsWith("/web/auth/refresh"));
  await page.keyboard.press("Shift");
  await page.clock.runFor(1_500);
  await renewed;
  await page.waitForFunction((old) => !sessionStorage.getItem("crs-session")?.includes(old ?? "?"), before);
  await page.clock.runFor(60_000);
  assert.equal(refreshes(), 1);
  const after = (await stored(page))?.token;
  await other.waitForFunction((token) => sessionStorage.getItem("crs-session")?.includes(token ?? "?"), after);
});

test("after a session has ended the login lies over the page, and what was sent goes on", async (t) => {
  const made = await Console.start(t);
  made.watch.allowStatus(401);
  const page = await made.login("api-keys/new");
  await page.getByLabel("Name", { exact: true }).fill("Typed before the end");
  // Somebody ends all sessions.
  await made.api("POST", "/web/auth/logout", { everywhere: true });
  await page.keyboard.press("Enter");
  const dialog = page.getByRole("dialog", { name: "Log in again" });
  await dialog.waitFor();
  await made.accessible("the login over a page");
  assert.match(page.url(), /api-keys\/new/);
  const password = dialog.locator("input[type=password]");
  await password.fill("wrong");
  await password.press("Enter");
  await dialog.getByText("The username or the password is wrong.").waitFor();
  await password.fill(made.relay.password);
  await password.press("Enter");
  await page.getByLabel("Key", { exact: true }).waitFor();
  await dialog.waitFor({ state: "detached" });
  const token = (await stored(page))?.token ?? "";
  const answer = await fetch(`${made.relay.url}/admin/api-keys`, { headers: { authorization: `Bearer ${token}` } });
  const { items } = (await answer.json()) as { items: { name: string }[] };
  assert.deepEqual(items.map(({ name }) => name), ["Typed before the end"], "once, as it was typed");
});

test("a hidden tab asks nothing, and one where nobody is neither", async (t) => {
  const made = await Console.start(t);
  await made.page.clock.install();
  const page = await made.login("accounts");
  const requests = asked(page);
  const during = async (time: number) => {
    requests.length = 0;
    for (let passed = 0; passed < time; passed += 15_000) {
      await page.clock.runFor(15_000);
      // The page's time is moved, the answer's is not: a poll that finds the last one unanswered is none.
      await made.watch.quiet(page);
    }
    return requests.filter((one) => one === "GET /admin/accounts").length;
  };
  const hide = (hidden: boolean) =>
    page.evaluate((hidden) => {
      Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
      Object.defineProperty(document, "visibilityState", { configurable: true, get: () => (hidden ? "hidden" : "visible") });
      document.dispatchEvent(new Event("visibilitychange"));
    }, hidden);
  const seen = await during(120_000);
  assert.ok(seen >= 5 && seen <= 9, `${seen} polls in two minutes`);
  await hide(true);
  await during(15_000);
  await during(300_000);
  assert.deepEqual(requests, [], "a hidden tab asks");
  const back = page.waitForResponse((response) => response.url().includes("/admin/accounts"));
  await hide(false);
  await back;
  assert.ok((await during(60_000)) > 0);
  // Nobody touches anything for half an hour.
  await page.clock.fastForward("00:31:00");
  await during(15_000);
  await during(300_000);
  assert.deepEqual(requests, [], "an idle tab asks");
  const again = page.waitForResponse((response) => response.url().includes("/admin/accounts"));
  await page.keyboard.press("Shift");
  await page.clock.runFor(16_000);
  await again;
});

test("no other tab of a stranger's page gets the session", async (t) => {
  const made = await Console.start(t);
  await made.login("accounts");
  await made.look();
  await made.open("accounts");
  await made.page.waitForURL(/\/admin-next\/login/);
});
