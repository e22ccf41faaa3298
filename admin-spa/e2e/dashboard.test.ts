// The dashboard: is all well, what needs me; and the first visit.

import assert from "node:assert/strict";
import { after, test } from "node:test";

import { Console, LANGUAGES, THEMES, closeBrowser } from "./support/console.ts";
import { seed } from "./support/seed.ts";

after(closeBrowser);

const call = (made: Console, key: string) =>
  fetch(`${made.relay.url}/api/v1/messages`, {
    method: "POST",
    headers: { "x-api-key": key, "content-type": "application/json", "anthropic-version": "2023-06-01" },
    body: JSON.stringify({ model: "claude-sonnet-4-5", max_tokens: 9, messages: [{ role: "user", content: "hi" }] }),
  }).then((response) => response.text());

test("a fresh relay shows three steps and no zeros, and ticks what is done", async (t) => {
  const made = await Console.start(t);
  // No page was asked for: the login leads here.
  const page = await made.login("dashboard");
  await page.getByRole("heading", { name: "Three steps to the first call" }).waitFor();
  assert.equal(await page.getByText("Cost today").count(), 0);
  assert.equal(await page.locator("li[aria-current=step]").getByRole("link").getAttribute("href"), "/admin-next/accounts/new");
  for (const theme of THEMES) {
    for (const language of LANGUAGES) {
      await made.look({ theme, language });
      await made.login("dashboard");
      await made.accessible(`the steps ${theme} ${language}`);
    }
  }
  await made.look();
  // The wizard tests what it adds. That is no call of a client, so the steps stay.
  await made.login("accounts/new");
  await made.page.getByRole("textbox", { name: "API key", exact: true }).fill("sk-ant-one");
  await made.page.getByRole("button", { name: "Add and test" }).click();
  await made.page.getByText(/answers \(/).waitFor();
  await made.login("dashboard");
  await made.page.getByRole("img", { name: "Done" }).waitFor();
  const key = await made.api<{ id: string; key: string }>("POST", "/admin/api-keys", { name: "k" });
  await made.login("dashboard");
  await made.page.getByRole("img", { name: "Done" }).nth(1).waitFor();
  await call(made, key.key);
  await made.recorded(key.id, 1);
  await made.page.getByRole("button", { name: "Refresh" }).click();
  await made.page.getByText("Cost today").waitFor();
  await made.page.getByText("Tests of accounts").waitFor();
});

test("what needs somebody is there without a click, and acting on it takes one", async (t) => {
  const made = await Console.start(t);
  const { accounts } = await seed(made);
  const near = await made.api<{ id: string; key: string }>("POST", "/admin/api-keys", { name: "Nearly out", dailyCostLimit: 0.000001 });
  await call(made, near.key);
  await made.provider.answers({ answer: { status: 401, message: "invalid x-api-key" } });
  await call(made, near.key);
  const page = await made.login("dashboard");
  made.watch.reset();
  const needs = page.getByRole("region", { name: "Needs you" });
  await needs.getByRole("link", { name: "Nearly out" }).waitFor();
  await made.accessible("the dashboard with something to do");
  assert.equal(made.watch.clicks, 0, "nothing is clicked to see it");
  await needs.getByRole("listitem").filter({ hasText: "Nearly out" }).getByRole("link", { name: "Raise or forgive" }).click();
  await page.waitForURL((url) => url.pathname.endsWith(`/api-keys/${near.id}`));
  assert.equal(made.watch.clicks, 1);
  assert.ok(accounts.length === 2);
});

test("a limited account appears within one poll, with its way back", async (t) => {
  const made = await Console.start(t);
  await made.api("POST", "/admin/accounts", { name: "Only one", platform: "claude", credentials: { type: "apiKey", apiKey: "sk-ant-one" } });
  const key = await made.api<{ key: string }>("POST", "/admin/api-keys", { name: "k" });
  await call(made, key.key);
  await made.page.clock.install();
  const page = await made.login("dashboard");
  await page.getByText("Nothing needs you.").waitFor();
  await made.provider.answers({ answer: { status: 429, message: "slow down", headers: { "retry-after": "500" } } });
  await call(made, key.key);
  const polled = page.waitForResponse((response) => response.url().endsWith("/admin/overview"));
  await page.clock.runFor(17_000);
  await polled;
  await page.getByText("The only account cannot serve: calls fail.").waitFor();
});
