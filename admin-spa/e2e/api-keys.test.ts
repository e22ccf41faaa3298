// Keys: made and handed over, changed in the row, many at once.

import assert from "node:assert/strict";
import { after, test } from "node:test";

import { Console, closeBrowser } from "./support/console.ts";

after(closeBrowser);

test("a new key is handed over with three clicks, and leaving uncopied asks", async (t) => {
  const made = await Console.start(t);
  const page = await made.login("api-keys");
  await page.getByRole("link", { name: "New key" }).first().click();
  await page.getByLabel("Name", { exact: true }).fill("Ada");
  await page.keyboard.press("Enter");
  const secret = page.getByLabel("Key", { exact: true });
  await secret.waitFor();
  const key = await secret.innerText();
  await made.accessible("a new key");
  await page.getByRole("link", { name: "To the list" }).click();
  await page.getByRole("button", { name: "Stay" }).click();
  await made.context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await page.getByRole("button", { name: "Copy message" }).click();
  const message = await page.evaluate(() => navigator.clipboard.readText());
  assert.ok(message.includes(key) && message.includes("ANTHROPIC_BASE_URL"), message);
  await page.getByRole("link", { name: "To the list" }).click();
  await page.getByRole("link", { name: "Ada" }).waitFor();
  assert.ok(!(await page.content()).includes(key), "the secret stayed in the page");
});

test("a limit is raised with two clicks in the row, and many keys change at once", async (t) => {
  const made = await Console.start(t);
  for (const name of ["one", "two"]) await made.api("POST", "/admin/api-keys", { name, dailyCostLimit: 10 });
  const page = await made.login("api-keys");
  const limits = async () =>
    (await made.api<{ items: { dailyCostLimit: number }[] }>("GET", "/admin/api-keys?sortBy=name&sortOrder=asc")).items.map((one) => one.dailyCostLimit);
  await page.getByRole("button", { name: "Change the limits of one" }).click();
  await page.getByRole("button", { name: "double" }).click();
  await page.getByText("one is changed").first().waitFor();
  assert.deepEqual(await limits(), [20, 10]);
  await page.getByRole("button", { name: "Change many" }).click();
  await page.getByLabel("Dollars", { exact: true }).fill("7");
  await page.getByRole("button", { name: "Look at 2" }).click();
  await page.getByRole("button", { name: "Change 2", exact: true }).click();
  await page.getByText("2 done, 0 failed").waitFor();
  assert.deepEqual(await limits(), [7, 7]);
});

test("the set-up guide carries the key that was pasted, on a phone", async (t) => {
  const made = await Console.start(t);
  await made.look({ width: 360 });
  const page = await made.open("tutorial");
  await page.getByLabel("Your key").fill("cr_pasted");
  await page.getByText("ANTHROPIC_AUTH_TOKEN=cr_pasted").waitFor();
  await made.accessible("the guide");
});
