// Who changed what: every write shows up once, old to new, without a secret; filters are in the address.

import assert from "node:assert/strict";
import { after, test } from "node:test";

import { Console, closeBrowser } from "./support/console.ts";
import { seed } from "./support/seed.ts";

after(closeBrowser);

interface Made {
  id: string;
  key: string;
}

/** The row of an entry on a wide screen. */
const row = (made: Console, ...words: string[]) =>
  words.reduce((rows, word) => rows.filter({ hasText: word }), made.page.locator("tbody tr"));

test("each write shows up once, old to new, and no secret is told", async (t) => {
  const made = await Console.start(t);
  const secret = "sk-ant-very-secret-of-the-account";
  const account = await made.api<Made>("POST", "/admin/accounts", { name: "Main", platform: "claude", credentials: { type: "apiKey", apiKey: secret } });
  const key = await made.api<Made>("POST", "/admin/api-keys", { name: "Ada's laptop", dailyCostLimit: 10, tags: ["team"] });
  await made.api("PATCH", `/admin/api-keys/${key.id}`, { dailyCostLimit: 5, isActive: false, bindings: { claude: account.id } });
  await made.api("PATCH", `/admin/accounts/${account.id}`, { credentials: { type: "apiKey", apiKey: `${secret}-2` } });
  const rotated = await made.api<Made>("POST", `/admin/api-keys/${key.id}/rotate`);
  await made.api("DELETE", `/admin/api-keys/${key.id}`);
  const page = await made.login("audit");
  for (const [action, name] of [
    ["Account added", "Main"],
    ["Key created", "Ada's laptop"],
    ["Key changed", "Ada's laptop"],
    ["Account changed", "Main"],
    ["Key got a new secret", "Ada's laptop"],
    ["Key deleted", "Ada's laptop"],
  ] as const) {
    await row(made, action, name).waitFor();
    assert.equal(await row(made, action, name).count(), 1, action);
  }
  const text = (await row(made, "Key changed").innerText()).replaceAll(/\s+/g, " ");
  assert.match(text, /Cost a day \$10\.00 \$5\.00/);
  assert.match(text, /Enabled yes no/);
  // Of ids the names.
  await row(made, "Key changed").getByText("claude: Main").waitFor();
  assert.match(await row(made, "Account changed", "Main").innerText(), /Credentials\s+changed/);
  const content = await page.content();
  for (const hidden of [secret, key.key, rotated.key, made.relay.password]) assert.ok(!content.includes(hidden), "a secret is told");
  await row(made, "Key changed").getByRole("link", { name: "Ada's laptop" }).click();
  await page.waitForURL(`**/api-keys/${key.id}`);
});

test("filters stand in the address, lead back, and find strangers", async (t) => {
  const made = await Console.start(t);
  await seed(made);
  for (let attempt = 0; attempt < 3; attempt += 1) {
    await fetch(`${made.relay.url}/web/auth/login`, { method: "POST", body: JSON.stringify({ username: "root", password: "guess" }) });
  }
  const page = await made.login("audit");
  const count = () => page.locator("tbody tr").count();
  await row(made, "Key created").first().waitFor();
  const all = await count();
  await page.getByLabel("What", { exact: true }).selectOption({ label: "Key created" });
  await page.waitForURL(/action=key\.create/);
  await row(made, "Account added").first().waitFor({ state: "detached" });
  assert.equal(await count(), 3);
  await made.watch.reset();
  await row(made, "Off").getByRole("button", { name: "Only Off" }).click();
  await page.waitForURL(/subject=key%3A|subject=key:/);
  await row(made, "Ada's laptop").waitFor({ state: "detached" });
  assert.equal(await count(), 1);
  assert.equal(made.watch.clicks, 1);
  await page.reload();
  await row(made, "Off").waitFor();
  assert.equal(await count(), 1, "a reload keeps the filter");
  await page.getByRole("button", { name: "Clear filters" }).click();
  await row(made, "Account added").first().waitFor();
  assert.equal(await count(), all);
  await page.getByLabel("Who", { exact: true }).selectOption({ label: "A stranger" });
  await row(made, "Login refused").waitFor();
  assert.match(await row(made, "Login refused").innerText(), /127\.0\.0\.0|times/);
  // Nothing is of next year.
  await page.getByRole("button", { name: "Clear filters" }).click();
  await page.getByLabel("From").fill("2099-01-01");
  await page.getByText("Nothing matches").waitFor();
  await page.getByRole("button", { name: "Clear filters" }).first().click();
  await row(made, "Account added").first().waitFor();
});

test("older entries are a page further, and back leads to the newest", async (t) => {
  const made = await Console.start(t);
  for (let number = 0; number < 60; number += 1) await made.api("POST", "/admin/api-keys", { name: `key ${number}` });
  const page = await made.login("audit");
  await row(made, "key 59").waitFor();
  assert.equal(await page.locator("tbody tr").count(), 50);
  await page.getByRole("button", { name: "Older" }).click();
  await row(made, "key 0").waitFor();
  assert.equal(await row(made, "key 59").count(), 0);
  assert.equal(await page.getByRole("button", { name: "Older" }).count(), 0);
  await page.goBack();
  await row(made, "key 59").waitFor();
  await page.goForward();
  await row(made, "key 0").waitFor();
  await page.getByRole("button", { name: "Newest" }).click();
  await row(made, "key 59").waitFor();
});
