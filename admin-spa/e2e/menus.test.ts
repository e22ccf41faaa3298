// The menus of rows: by keyboard and by pointer.

import assert from "node:assert/strict";
import { after, test } from "node:test";

import { Console, closeBrowser } from "./support/console.ts";

after(closeBrowser);

test("a menu opens by keyboard and pointer, and gives the focus back", async (t) => {
  const made = await Console.start(t);
  await made.api("POST", "/admin/api-keys", { name: "Ada" });
  const page = await made.login("api-keys");
  const button = page.getByRole("button", { name: "More for Ada" });
  const menu = page.getByRole("menu");
  assert.equal(await button.getAttribute("aria-haspopup"), "menu");
  const chosen = () => page.evaluate(() => document.activeElement?.textContent?.trim());
  for (const key of ["Enter", "Space", "ArrowDown"]) {
    await button.focus();
    await page.keyboard.press(key);
    await menu.waitFor();
    assert.equal(await button.getAttribute("aria-expanded"), "true");
    assert.equal(await button.getAttribute("aria-controls"), await menu.getAttribute("id"));
    await page.waitForFunction(() => document.activeElement?.role === "menuitem");
    const first = await chosen();
    await page.keyboard.press("ArrowDown");
    assert.notEqual(await chosen(), first, key);
    await page.keyboard.press("Escape");
    await menu.waitFor({ state: "detached" });
    await page.waitForFunction(() => document.activeElement?.getAttribute("aria-haspopup") === "menu");
  }
  await button.click();
  await menu.waitFor();
  await made.accessible("an open menu");
  await button.click();
  await menu.waitFor({ state: "detached" });
  await button.click();
  await menu.waitFor();
  await page.getByRole("heading", { level: 1 }).click();
  await menu.waitFor({ state: "detached" });
});
