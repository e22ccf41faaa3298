// What the console says in words about money and capacity: guessed prices, checked sums, refused calls, sums that are
// not whole, and who runs out when.

import assert from "node:assert/strict";
import { after, test } from "node:test";

import { Console, LANGUAGES, closeBrowser } from "./support/console.ts";
import { call } from "./support/rich.ts";
import { seed } from "./support/seed.ts";

after(closeBrowser);

interface Key {
  id: string;
  key: string;
}

/** Waits until the ledger has so many calls of a key. */
async function counted(made: Console, id: string, calls: number): Promise<string[]> {
  for (;;) {
    const { items } = await made.api<{ items: { requestId: string }[] }>("GET", `/admin/requests?keyId=${id}`);
    if (items.length >= calls) return items.map((one) => one.requestId);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

test("a guessed price leads to where it is set, from the dashboard, the usage and the call", async (t) => {
  const made = await Console.start(t);
  await seed(made);
  const key = await made.api<Key>("POST", "/admin/api-keys", { name: "New models" });
  await call(made.relay, key.key, "claude", "claude-neptune-7");
  const [request] = await counted(made, key.id, 1);
  const atPrices = async () => {
    await made.page.waitForURL(/\/settings\?tab=prices&search=claude-neptune-7/);
    await made.page.getByRole("button", { name: /claude-neptune-7/ }).first().waitFor();
    await made.page.getByText("claude-opus-4-5", { exact: true }).waitFor({ state: "detached" });
  };
  await made.login("dashboard");
  made.watch.reset();
  await made.page.getByRole("listitem").filter({ hasText: "claude-neptune-7" }).getByRole("link", { name: "Set a price" }).click();
  await atPrices();
  assert.equal(made.watch.clicks, 1);
  await made.open("usage?rank=models");
  await made.page.getByRole("row").filter({ hasText: "claude-neptune-7" }).getByRole("link", { name: "guessed price" }).click();
  await atPrices();
  await made.open(`requests/${request}`);
  await made.page.getByRole("link", { name: "Set its price" }).click();
  await atPrices();
});

test("the sums of a day are checked with two clicks, and the answer is a sentence", async (t) => {
  const made = await Console.start(t);
  const { keys } = await seed(made);
  await counted(made, keys[0]!.id, 3);
  const page = await made.login("usage");
  made.watch.reset();
  await page.getByRole("button", { name: "Check the sums" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("button", { name: "Check", exact: true }).click();
  await dialog.getByText(/the sums are those of its 3 calls\./).waitFor();
  assert.equal(made.watch.clicks, 2);
  await made.accessible("checked sums");
  await dialog.getByLabel("Day").selectOption("1");
  await dialog.getByRole("button", { name: "Check", exact: true }).click();
  await dialog.getByText(/there was no call\./).waitFor();
  // Sums that are wrong, and a day that an older version counted, as the relay would say it.
  await made.context.route("**/admin/usage/verify", (route) =>
    route.fulfill({ json: { day: "2026-01-31", daysKept: 30, events: 7, different: 1, complete: false, differences: [{ field: "cost:all", stored: 1.5, events: 2 }] } }),
  );
  await dialog.getByLabel("Day").selectOption("2");
  await dialog.getByRole("button", { name: "Check", exact: true }).click();
  await dialog.getByText(/one sum is not that of its calls\./).waitFor();
  await dialog.getByText("counted by an older version").waitFor();
  await dialog.getByText("cost:all").waitFor();
});

test("sums that are not whole are not shown as if they were", async (t) => {
  const made = await Console.start(t);
  const { accounts } = await seed(made);
  const page = await made.login("dashboard");
  // As from a ledger that an older version began. All else is the relay's.
  await made.context.route(/\/admin\/usage\/(ranking|failures|latency)/, async (route) => {
    const answer = await route.fetch();
    await route.fulfill({ response: answer, json: { ...((await answer.json()) as object), complete: false } });
  });
  await page.getByRole("navigation").getByRole("link", { name: "Usage" }).click();
  const note = page.getByText("Some calls of this time were counted by an older version");
  await note.nth(2).waitFor();
  assert.equal(await note.count(), 3, "of ranking, failures and latency");
  await page.getByRole("combobox", { name: "Who or what cost most" }).selectOption("models");
  await note.nth(2).waitFor();
  await made.open(`accounts/${accounts[0]}`);
  await page.getByRole("region", { name: /Who used it/ }).getByText("older version").waitFor();
});

test("a holder reads why calls were refused today, and when they are allowed again", async (t) => {
  const made = await Console.start(t);
  await seed(made);
  const key = await made.api<Key>("POST", "/admin/api-keys", { name: "Small", dailyCostLimit: 0.000001 });
  for (let n = 0; n < 3; n += 1) await call(made.relay, key.key, "claude", "claude-sonnet-4-5");
  await counted(made, key.id, 1);
  // Reading them writes what the process has counted.
  await made.api("GET", "/admin/refusals");
  for (const language of LANGUAGES) {
    await made.look({ width: 360, language });
    const page = await made.open("api-stats");
    await page.locator("main input").first().fill(key.key);
    await page.keyboard.press("Enter");
    const section = page.getByRole("region", { name: language === "en" ? "Refused calls" : "被拒绝的调用" });
    await section.getByText(language === "en" ? "2 today, 0 yesterday" : "今日 2 次，昨日 0 次").waitFor();
    await section.getByText(language === "en" ? "allowed again" : "恢复时间").waitFor();
    await made.accessible(`refusals for a holder, ${language}`);
  }
});

test("the dashboard says who is out until when, and counts refused calls", async (t) => {
  const made = await Console.start(t);
  const account = (name: string, apiKey: string) => made.api<{ id: string }>("POST", "/admin/accounts", { name, platform: "claude", credentials: { type: "apiKey", apiKey } });
  await account("First", "sk-first");
  const key = await made.api<Key>("POST", "/admin/api-keys", { name: "k" });
  const off = await made.api<Key>("POST", "/admin/api-keys", { name: "off", isActive: false });
  await call(made.relay, key.key, "claude", "claude-sonnet-4-5");
  await call(made.relay, off.key, "claude", "claude-sonnet-4-5");
  await made.provider.answers({ answer: { status: 429, message: "slow down", headers: { "retry-after": "7200" } } });
  await call(made.relay, key.key, "claude", "claude-sonnet-4-5");
  const page = await made.login("dashboard");
  const chart = page.getByRole("figure").filter({ has: page.getByRole("img", { name: "Next 24 hours" }) });
  await chart.getByText(/Claude is out now, back /).waitFor();
  await chart.getByRole("button", { name: "As a table" }).click();
  await page.getByRole("row").filter({ hasText: "First" }).filter({ hasText: "Out" }).waitFor();
  await made.accessible("the next 24 hours");
  const refused = page.locator("dl > div").filter({ hasText: "Refused today" });
  // That of the disabled key; the call that no account could take reached a provider.
  await refused.getByRole("link", { name: "1", exact: true }).click();
  await page.waitForURL(/requests\?tab=refused/);
});

test("the pages without a login give the operator's address to a browser that never logged in", async (t) => {
  const made = await Console.start(t, { settings: { PUBLIC_ADDRESS: "https://relay.example.com" } });
  const key = await made.api<{ key: string }>("POST", "/admin/api-keys", { name: "Ada" });
  const page = await made.open("tutorial");
  await page.getByText("https://relay.example.com/api/").first().waitFor();
  assert.equal(await page.getByLabel("Address of the relay").inputValue(), "https://relay.example.com");
  // What a person typed is not taken away by what the relay says later.
  await page.route("**/admin/oem-settings", async (route) => {
    await page.getByLabel("Address of the relay").fill("https://mine.example.com");
    await route.continue();
  });
  await page.evaluate(() => localStorage.clear());
  await made.open("tutorial");
  await made.settled();
  await page.getByText("https://mine.example.com/api/").first().waitFor();
  await page.unroute("**/admin/oem-settings");
  await made.open("api-stats");
  await page.getByLabel("Your key").fill(key.key);
  await page.keyboard.press("Enter");
  await page.getByText("Set up a client").click();
  await page.getByText("https://relay.example.com/api/").first().waitFor();
});

test("accounts and keys lead to what was changed about them", async (t) => {
  const made = await Console.start(t);
  const { accounts, keys } = await seed(made);
  const page = await made.login("dashboard");
  for (const [path, link, what] of [[`accounts/${accounts[0]}`, "Changes in the audit log", "Account added"], [`api-keys/${keys[0]!.id}`, "Who changed it", "Key created"]] as const) {
    await made.open(path);
    await page.getByRole("link", { name: link }).click();
    await page.waitForURL(/audit\?subject=/);
    await page.getByRole("row").nth(1).waitFor();
    assert.equal(await page.getByRole("row").count(), 2, `${what}: its own entry alone`);
  }
});
