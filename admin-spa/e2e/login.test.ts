// Logging in: the right password, a wrong one, and too many wrong ones.

import assert from "node:assert/strict";
import { after, test } from "node:test";

import { Console, LANGUAGES, THEMES, WIDTHS, closeBrowser } from "./support/console.ts";

after(closeBrowser);

test("the right login leads to the page that was asked for", async (t) => {
  const made = await Console.start(t);
  const page = await made.loginByHand("accounts");
  assert.match(page.url(), /\/admin-next\/accounts$/);
  // Nothing of it outlives the tab, and nothing of it is in an address.
  const stored = await page.evaluate(() => JSON.stringify(localStorage));
  assert.doesNotMatch(stored, /token|eyJ/i);
  assert.deepEqual(await made.context.cookies(), []);
  await page.reload();
  await made.settled();
  assert.match(page.url(), /\/admin-next\/accounts$/, "a reload stays logged in");
});

test("a wrong password is said in place, and the password can be typed again", async (t) => {
  const made = await Console.start(t);
  made.watch.allowStatus(401);
  await made.open("login");
  await made.submitLogin("not the password");
  const password = made.page.locator("input[autocomplete=current-password][aria-invalid=true]");
  await password.waitFor();
  const reason = await password.evaluate((input) => {
    const ids = input.getAttribute("aria-describedby")?.split(" ") ?? [];
    return ids.map((id) => document.getElementById(id)?.textContent ?? "").join(" ");
  });
  assert.match(reason, /wrong/);
  assert.match(made.page.url(), /\/admin-next\/login/);
  const focused = await made.page.evaluate(() => document.activeElement?.getAttribute("autocomplete"));
  assert.equal(focused, "current-password");
  await made.submitLogin();
  await made.page.waitForURL(/\/admin-next\/(?!login)/);
});

test("too many wrong passwords are counted down", async (t) => {
  const made = await Console.start(t);
  made.watch.allowStatus(401);
  made.watch.allowStatus(429);
  await made.page.clock.install();
  await made.open("login");
  const refused = made.page.waitForResponse((response) => response.status() === 429);
  let over = false;
  void refused.then(() => (over = true));
  // Five attempts are free: src/store/guesses/rules.rs.
  for (let attempt = 0; attempt < 7 && !over; attempt += 1) {
    const answered = made.page.waitForResponse((response) => response.url().endsWith("/web/auth/login"));
    await made.submitLogin("not the password");
    await answered;
    await made.page.clock.runFor(50);
  }
  await refused;
  const alert = made.page.locator("[role=alert], [role=timer], [role=status]").filter({ hasText: /\d/ }).first();
  const left = async () => Number(/\d+/.exec(await alert.innerText())?.[0]);
  await alert.waitFor();
  const before = await left();
  assert.ok(before > 1 && before <= 60, `${before} s are left`);
  await made.page.clock.runFor(3_000);
  assert.ok((await left()) < before, "the countdown does not move");
});

test("the login is for everyone", async (t) => {
  const made = await Console.start(t);
  for (const theme of THEMES) {
    for (const language of LANGUAGES) {
      for (const width of WIDTHS) {
        await made.look({ theme, language, width });
        await made.open("login");
        await made.page.locator("input[autocomplete=current-password]").waitFor();
        await made.accessible(`login ${theme} ${language} ${width}`);
        const lang = await made.page.evaluate(() => document.documentElement.lang);
        assert.ok(lang.startsWith(language), `lang is ${lang}`);
      }
    }
  }
});
