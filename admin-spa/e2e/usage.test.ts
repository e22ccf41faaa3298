// Usage: who spent how much, with one click; the figures are those of the API.

import assert from "node:assert/strict";
import { after, test } from "node:test";

import { Console, LANGUAGES, THEMES, closeBrowser } from "./support/console.ts";
import { seed } from "./support/seed.ts";

after(closeBrowser);

test("who spent how much is one click from the start, and the sums are the API's", async (t) => {
  const made = await Console.start(t);
  await seed(made);
  const page = await made.login("dashboard");
  made.watch.reset();
  await page.getByRole("navigation").getByRole("link", { name: "Usage" }).click();
  const table = page.getByRole("table", { name: "Who or what cost most" });
  await table.getByRole("link", { name: "Ada's laptop" }).waitFor();
  assert.equal(made.watch.clicks, 1);
  const told = await made.api<{ totals: { requests: number } }>("GET", "/admin/usage/summary?range=7days");
  assert.equal(await page.locator("dl > div").filter({ hasText: "Calls" }).locator("dd").first().innerText(), String(told.totals.requests));
});

test("time, split, kind and one key are in the address, and back undoes", async (t) => {
  const made = await Console.start(t);
  await seed(made);
  const page = await made.login("usage");
  await page.getByLabel("Time", { exact: true }).selectOption("today");
  await page.getByLabel("Split by").selectOption("model");
  await page.waitForURL(/range=today.*by=model|by=model.*range=today/);
  await page.getByRole("img", { name: "Cost by hour" }).waitFor();
  await page.getByRole("button", { name: "Only Ada's laptop" }).click();
  await page.waitForURL(/key=/);
  await page.getByText("Only the key").waitFor();
  await page.getByRole("table", { name: "Who or what cost most" }).getByText("claude-opus-4-5").waitFor();
  await page.goBack();
  await page.getByRole("link", { name: "Ada's laptop" }).waitFor();
  await page.getByLabel("Time", { exact: true }).selectOption("days");
  await page.waitForURL(/from=\d{4}-\d\d-\d\d/);
  await made.accessible("usage of days");
});

test("usage is for everyone", async (t) => {
  const made = await Console.start(t);
  await seed(made);
  for (const theme of THEMES) {
    for (const language of LANGUAGES) {
      for (const width of [1280, 360]) {
        await made.look({ theme, language, width });
        await made.login("usage?by=key&range=today");
        await made.accessible(`usage ${theme} ${language} ${width}`);
      }
    }
  }
});
