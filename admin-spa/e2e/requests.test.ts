// Calls: why one went as it did, found by its id or by a filter, and what was refused.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, test } from "node:test";

import { Console, LANGUAGES, THEMES, closeBrowser } from "./support/console.ts";

after(closeBrowser);

interface Scene {
  keys: { id: string; key: string }[];
  /** Sends a call; gives its request id. */
  call: (key: string, model?: string, body?: string) => Promise<string>;
}

/** Two accounts, the first with priority, and a key without and one with a limit. */
async function scene(made: Console): Promise<Scene> {
  for (const [name, priority] of [["Main", 1], ["Spare", 50], ["Third, for other keys", 90]] as const) {
    await made.api("POST", "/admin/accounts", { name, priority, platform: "claude", credentials: { type: "apiKey", apiKey: `sk-ant-${priority}` } });
  }
  const keys = [];
  for (const body of [{ name: "Ada" }, { name: "Bob", rateLimitWindow: 60, rateLimitRequests: 1 }]) {
    keys.push(await made.api<{ id: string; key: string }>("POST", "/admin/api-keys", body));
  }
  const call = async (key: string, model = "claude-sonnet-4-5", body?: string) => {
    const response = await fetch(`${made.relay.url}/api/v1/messages`, {
      method: "POST",
      headers: { "x-api-key": key, "content-type": "application/json", "anthropic-version": "2023-06-01" },
      body: body ?? JSON.stringify({ model, max_tokens: 100, messages: [{ role: "user", content: "hello" }] }),
    });
    await response.text();
    const id = response.headers.get("x-request-id");
    assert.ok(id);
    return id;
  };
  return { keys, call };
}

/** Waits until the ledger has so many calls. */
async function logged(made: Console, count: number): Promise<void> {
  for (let left = 200; left > 0; left--) {
    const { items } = await made.api<{ items: unknown[] }>("GET", "/admin/requests?pageSize=100");
    if (items.length >= count) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  assert.fail(`the ledger does not have ${count} calls`);
}

test("a pasted request id shows why with one Enter", async (t) => {
  const made = await Console.start(t);
  const { keys, call } = await scene(made);
  await made.provider.answers({ once: true, answer: { status: 529, kind: "overloaded_error", message: "we are full" } });
  const id = await call(keys[0]!.key);
  await logged(made, 1);
  const page = await made.login("accounts");
  made.watch.reset();
  await page.keyboard.press("Control+k");
  await page.waitForFunction(() => document.activeElement?.getAttribute("aria-controls") === "palette-list");
  await page.keyboard.insertText(`my call failed, request ${id}, help`);
  await page.getByRole("option", { name: id }).waitFor();
  await page.keyboard.press("Enter");
  await page.waitForURL(new RegExp(`/requests/${id}`));
  const panel = page.getByRole("dialog");
  await panel.getByText("It went to Spare", { exact: false }).waitFor();
  await panel.getByText("Main failed: The provider is overloaded", { exact: false }).waitFor();
  assert.equal(made.watch.clicks, 1);
  await panel.getByText("Was tried already").waitFor();
  const row = panel.getByRole("row", { name: /^Charged/ });
  await row.waitFor();
  assert.match(await panel.getByRole("row", { name: /^Output/ }).innerText(), /\$15\.00/);
  await made.accessible("a call");
  await page.keyboard.press("Escape");
  await page.waitForURL(/\/requests$/);
});

test("a call that failed is told in the provider's own words, and can be copied as text", async (t) => {
  const made = await Console.start(t);
  const { keys, call } = await scene(made);
  await made.provider.answers({ answer: { status: 400, kind: "invalid_request_error", message: "messages.3: <b>the prompt</b> is too long" } });
  const id = await call(keys[0]!.key);
  await logged(made, 1);
  const page = await made.login("requests");
  await made.context.grantPermissions(["clipboard-read", "clipboard-write"]);
  made.watch.reset();
  await page.getByRole("link", { name: /^Open the call/ }).first().click();
  const panel = page.getByRole("dialog");
  await panel.getByText("messages.3: <b>the prompt</b> is too long", { exact: false }).waitFor();
  await panel.getByRole("button", { name: "Copy as text" }).click();
  assert.equal(made.watch.clicks, 2);
  const text = await page.evaluate(() => navigator.clipboard.readText());
  assert.ok(text.startsWith(id) && text.includes("is too long") && !text.includes(keys[0]!.key), text);
});

test("filters are in the address, J and K stay within them, and the table can be saved", async (t) => {
  const made = await Console.start(t);
  const { keys, call } = await scene(made);
  const ids: string[] = [];
  for (const model of ["claude-sonnet-4-5", "claude-opus-4-5", "claude-sonnet-4-5", "claude-opus-4-5"]) ids.push(await call(keys[0]!.key, model));
  await call(keys[1]!.key);
  await logged(made, 5);
  const page = await made.login(`requests?keyId=${keys[0]!.id}&model=claude-opus-4-5`);
  await page.getByRole("button", { name: "Remove the filter: Key: Ada" }).waitFor();
  const opens = page.getByRole("link", { name: /^Open the call/ });
  await opens.nth(1).waitFor();
  assert.equal(await opens.count(), 2);
  await page.locator("body").press("j");
  await page.locator("body").press("Enter");
  await page.waitForURL(new RegExp(`/requests/${ids[3]}\\?.*model=claude-opus-4-5`));
  await page.getByRole("dialog").getByText("It went to Main", { exact: false }).waitFor();
  await page.keyboard.press("j");
  await page.waitForURL(new RegExp(`/requests/${ids[1]}`));
  await page.keyboard.press("j");
  await page.keyboard.press("k");
  await page.waitForURL(new RegExp(`/requests/${ids[3]}`));
  await page.keyboard.press("Escape");
  await page.waitForURL(/\/requests\?/);
  const saved = page.waitForEvent("download");
  await page.getByRole("button", { name: "CSV" }).click();
  const lines = readFileSync(await (await saved).path(), "utf8").trim().split("\n");
  assert.deepEqual([lines.length, lines[1]!.split(",")[0], lines[2]!.split(",")[0]], [3, ids[3], ids[1]]);
  await page.getByRole("button", { name: "Remove the filter: Model: claude-opus-4-5" }).click();
  await opens.nth(3).waitFor();
  assert.equal(await opens.count(), 4);
  await page.getByRole("button", { name: "More filters" }).click();
  await page.getByLabel("Slower than, seconds").fill("600");
  await page.getByRole("button", { name: "Show", exact: true }).click();
  await page.waitForURL(/slowerThan=600000/);
  await page.getByText("Nothing matches").waitFor();
  await page.getByRole("button", { name: "Clear filters" }).first().click();
  await opens.nth(4).waitFor();
  await page.getByRole("button", { name: "More filters" }).click();
  await page.getByRole("searchbox", { name: "Key" }).fill("bo");
  await page.getByRole("button", { name: "Bob" }).click();
  await page.getByRole("button", { name: "Show", exact: true }).click();
  await page.getByRole("button", { name: "Remove the filter: Key: Bob" }).waitFor();
  await page.waitForFunction(() => document.querySelectorAll("tbody tr").length === 1);
  await page.getByRole("button", { name: "Live", exact: true }).click();
  await page.waitForURL(/live=1/);
  await page.getByRole("table").hover();
  await page.getByRole("button", { name: "Live, paused" }).waitFor();
});

test("older pages follow, and J goes on to them", async (t) => {
  const made = await Console.start(t);
  const { keys, call } = await scene(made);
  const ids: string[] = [];
  for (let number = 0; number < 5; number++) ids.push(await call(keys[0]!.key));
  await logged(made, 5);
  const page = await made.login("requests?pageSize=3");
  await page.getByRole("link", { name: /^Open the call/ }).nth(2).click();
  await page.waitForURL(new RegExp(`/requests/${ids[2]}`));
  await page.getByRole("dialog").getByText("It went to Main", { exact: false }).waitFor();
  await page.keyboard.press("j");
  await page.waitForURL(new RegExp(`/requests/${ids[1]}\\?.*cursor=`));
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Newest" }).click();
  await page.waitForURL((url) => !url.search.includes("cursor"));
});

test("why a key's calls were refused is one click away, and a refused id leads there", async (t) => {
  const made = await Console.start(t);
  made.watch.allowStatus(404);
  const { keys, call } = await scene(made);
  await call(keys[1]!.key);
  let refused = "";
  for (let number = 0; number < 3; number++) refused = await call(keys[1]!.key);
  await call("garbage");
  await call(keys[0]!.key, "", "{");
  await logged(made, 1);
  const page = await made.login("requests");
  made.watch.reset();
  await page.getByRole("tab", { name: "Refused" }).click();
  const row = page.getByRole("row", { name: /Bob/ });
  await row.getByText("The key's window is used up").waitFor();
  assert.equal(made.watch.clicks, 1);
  assert.match(await row.innerText(), /\b3\b/);
  assert.ok(await row.getByRole("timer").isVisible(), "when it lifts");
  await page.getByRole("row", { name: /No key of this relay/ }).getByText("Unknown key").waitFor();
  await page.getByRole("row", { name: /Ada/ }).getByText("The request cannot be read").waitFor();
  await made.accessible("refused calls");
  await made.open(`requests/${refused}`);
  const panel = page.getByRole("dialog");
  await panel.getByText("This call was refused: The key's window is used up").waitFor();
  await panel.getByRole("link", { name: "Look at refused calls" }).click();
  await page.waitForURL(new RegExp(`tab=refused.*keyId=${keys[1]!.id}|keyId=${keys[1]!.id}.*tab=refused`));
  await row.waitFor();
  assert.equal(await page.getByRole("row").count(), 2);
  await made.open(`requests/req_${"0".repeat(32)}`);
  await panel.getByText("This call is not in the log").waitFor();
  await made.open(`api-keys/${keys[1]!.id}`);
  await page.getByRole("region", { name: "Refused calls" }).getByText("The key's window is used up").waitFor();
  await made.accessible("a key with refused calls");
});

test("the list, a call and the refused are accessible in each theme, language and width", async (t) => {
  const made = await Console.start(t);
  const { keys, call } = await scene(made);
  await made.provider.answers({ once: true, answer: { status: 529, kind: "overloaded_error", message: "we are full" } });
  const id = await call(keys[0]!.key);
  await call(keys[1]!.key);
  await call(keys[1]!.key);
  await logged(made, 2);
  for (const theme of THEMES) {
    for (const language of LANGUAGES) {
      await made.look({ theme, language, width: theme === "dark" ? 360 : 1280 });
      const page = await made.login("requests");
      await page.locator(`a[href*="${id}"]`).first().waitFor();
      await made.accessible(`the list, ${theme} ${language}`);
      await page.locator(`a[href*="${id}"]`).first().click();
      await page.getByRole("dialog").getByText("Spare").first().waitFor();
      await made.accessible(`a call, ${theme} ${language}`);
      await made.open("requests?tab=refused");
      await page.getByRole("row").nth(1).waitFor();
      await made.accessible(`the refused, ${theme} ${language}`);
    }
  }
});
