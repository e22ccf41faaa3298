// Tooltips: by pointer, by focus and by touch, one at a time.

import assert from "node:assert/strict";
import { after, test } from "node:test";

import { Console, closeBrowser } from "./support/console.ts";

after(closeBrowser);

test("a tooltip shows by pointer and focus, stays under the pointer, and goes by Escape", async (t) => {
  const made = await Console.start(t);
  await made.api("POST", "/admin/api-keys", { name: "Ada", expirationMode: "fixed", expiresAt: "2099-01-01T00:00:00Z" });
  const page = await made.login("api-keys");
  await page.getByRole("link", { name: "Ada" }).click();
  await page.getByRole("heading", { name: "Ada" }).waitFor();
  const [first, second] = [page.locator("dl time").first(), page.locator("dl time").nth(1)];
  const tip = page.getByRole("tooltip");
  await first.hover();
  await tip.getByText("2099-01-01T00:00:00.000Z").waitFor();
  const described = await first.evaluate((time) => time.parentElement?.getAttribute("aria-describedby"));
  assert.equal(described, await tip.getAttribute("id"));
  await made.accessible("a tooltip");
  // The pointer may go into it, to copy from it.
  await tip.hover();
  assert.ok(await tip.isVisible());
  await page.keyboard.press("Escape");
  await tip.waitFor({ state: "detached" });
  await second.locator("..").focus();
  await tip.waitFor();
  assert.equal(await tip.count(), 1);
  await page.keyboard.press("Tab");
  await page.mouse.move(0, 0);
  await tip.waitFor({ state: "detached" });
});

test("a tap shows a tooltip on a phone", async (t) => {
  const made = await Console.start(t, { width: 360 });
  const { id } = await made.api<{ id: string }>("POST", "/admin/api-keys", { name: "Ada" });
  const page = await made.login(`api-keys/${id}`);
  await page.locator("dl time").first().tap();
  await page.getByRole("tooltip").waitFor();
  await page.getByRole("heading", { name: "Ada" }).tap();
  await page.getByRole("tooltip").waitFor({ state: "detached" });
});
