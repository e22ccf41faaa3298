// Keys: made and handed over, changed in the row, many at once, a new secret, gone for good. Each job has its number of
// clicks; what is typed is none.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, test } from "node:test";

import { Console, LANGUAGES, THEMES, closeBrowser } from "./support/console.ts";

after(closeBrowser);

interface Key {
  id: string;
  name: string;
  key: string;
  isActive: boolean;
  dailyCostLimit: number;
  monthlyCostLimit: number;
  expiresAt: string | null;
  tags: string[];
}

const made = (console: Console, body: object) => console.api<Key>("POST", "/admin/api-keys", body);
const keys = async (console: Console, query = "") =>
  (await console.api<{ items: Key[] }>("GET", `/admin/api-keys?sortBy=name&sortOrder=asc&pageSize=100${query}`)).items;

/** What a call with this key is answered. */
async function status(console: Console, key: string): Promise<number> {
  const response = await fetch(`${console.relay.url}/api/v1/messages`, {
    method: "POST",
    headers: { "x-api-key": key, "content-type": "application/json", "anthropic-version": "2023-06-01" },
    body: JSON.stringify({ model: "claude-sonnet-4-5", max_tokens: 10, messages: [{ role: "user", content: "hi" }] }),
  });
  await response.text();
  return response.status;
}

test("a new key is handed over with three clicks, and leaving uncopied asks", async (t) => {
  const console = await Console.start(t);
  const page = await console.login("api-keys");
  console.watch.reset();
  await page.getByRole("link", { name: "New key" }).first().click();
  await page.getByLabel("Name", { exact: true }).fill("Ada");
  await page.keyboard.press("Enter");
  const secret = page.getByLabel("Key", { exact: true });
  await secret.waitFor();
  const key = await secret.innerText();
  await console.accessible("a new key");
  const soFar = console.watch.clicks;
  await page.getByRole("link", { name: "To the list" }).click();
  await page.getByRole("button", { name: "Stay" }).click();
  console.watch.reset();
  await console.context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await page.getByRole("button", { name: "Copy message" }).click();
  assert.equal(soFar + console.watch.clicks, 3);
  const message = await page.evaluate(() => navigator.clipboard.readText());
  assert.ok(message.includes(key) && message.includes("ANTHROPIC_BASE_URL"), message);
  await page.getByRole("link", { name: "To the list" }).click();
  await page.getByRole("link", { name: "Ada" }).waitFor();
  assert.ok(!(await page.content()).includes(key), "the secret stayed in the page");
});

test("what is handed over names the address that the operator gives to clients", async (t) => {
  const console = await Console.start(t, { settings: { PUBLIC_ADDRESS: "https://relay.example.com" } });
  const page = await console.login("api-keys/new");
  await page.getByLabel("Name", { exact: true }).fill("Ada");
  await page.keyboard.press("Enter");
  await page.getByText("Show the message").click();
  await page.getByText("Address: https://relay.example.com").waitFor();
  await page.getByText("ANTHROPIC_BASE_URL=https://relay.example.com/api/").last().waitFor();
  await page.getByRole("button", { name: "Copy", exact: true }).first().click();
  await page.getByRole("link", { name: "Open", exact: true }).click();
  await page.getByText("ANTHROPIC_BASE_URL=https://relay.example.com/api/").waitFor();
});

test("a class of keys is made at once and saved as a table", async (t) => {
  const console = await Console.start(t);
  const page = await console.login("api-keys/new");
  await page.getByLabel("Name", { exact: true }).fill("=class");
  await page.getByLabel("How many").fill("101");
  await page.getByText("At most 100 at once.").waitFor();
  assert.ok(await page.getByRole("button", { name: "Create 101" }).isDisabled());
  await page.getByLabel("How many").fill("3");
  await page.getByRole("button", { name: "Trial" }).click();
  await page.getByRole("button", { name: "Create 3" }).click();
  await page.getByRole("heading", { name: "3 keys are ready" }).waitFor();
  await console.accessible("many new keys");
  await page.getByRole("link", { name: "To the list" }).click();
  await page.getByRole("button", { name: "Stay" }).click();
  const saved = page.waitForEvent("download");
  await page.getByRole("button", { name: "Save as CSV" }).click();
  const table = await readFile(await (await saved).path(), "utf8");
  const rows = table.replace("\u{feff}", "").trim().split("\r\n");
  assert.equal(rows.length, 4);
  assert.match(rows[1]!, /^"'=class 1",cr_\w+,http:\/\//);
  const secrets = rows.slice(1).map((row) => row.split(",")[1]!);
  const messages = page.waitForEvent("download");
  await page.getByRole("button", { name: "Save messages" }).click();
  const text = await readFile(await (await messages).path(), "utf8");
  for (const secret of secrets) assert.ok(text.includes(secret), "a key has no message");
  await page.getByRole("link", { name: "To the list" }).click();
  // The page of the new keys has links of these names, too.
  await page.getByRole("heading", { name: "3 keys are ready" }).waitFor({ state: "detached" });
  await page.getByRole("link", { name: "=class 3" }).waitFor();
  const content = await page.content();
  for (const secret of secrets) assert.ok(!content.includes(secret), "a secret stayed in the page");
  assert.deepEqual((await keys(console)).map((one) => one.name), ["=class 1", "=class 2", "=class 3"]);
});

test("a limit that cannot be read is not saved as another, and a refusal lands at its field", async (t) => {
  const console = await Console.start(t);
  console.watch.allowStatus(422);
  const page = await console.login("api-keys/new");
  await page.getByLabel("Name", { exact: true }).fill("Ada");
  await page.getByText("How much?").click();
  await page.getByLabel("Dollars a day").fill("12,5");
  await page.getByText("How much?").click();
  await page.getByRole("button", { name: "Create" }).click();
  // The field is shown, and is where one types on.
  await page.getByText("Not an amount in dollars").waitFor();
  assert.equal(await page.evaluate(() => document.activeElement?.getAttribute("aria-invalid")), "true");
  assert.deepEqual(await keys(console), []);
  await page.getByLabel("Dollars a day").fill("12.5");
  await page.getByLabel("Dollars a month").fill("60");
  await page.getByLabel("Calls in the window").fill("5");
  await page.getByRole("button", { name: "Create" }).click();
  await page.getByText("is counted over a window").waitFor();
  await page.getByLabel("Window in minutes").fill("60");
  await page.getByRole("button", { name: "Create" }).click();
  await page.getByLabel("Key", { exact: true }).waitFor();
  assert.deepEqual((await keys(console)).map((one) => [one.dailyCostLimit, one.monthlyCostLimit]), [[12.5, 60]]);
});

test("in the row a limit is raised, a key extended and disabled with two clicks each", async (t) => {
  const console = await Console.start(t);
  for (const name of ["one", "two"]) await made(console, { name, dailyCostLimit: 10 });
  const page = await console.login("api-keys");
  console.watch.reset();
  await page.getByRole("button", { name: "Change the limits of one" }).click();
  await page.getByRole("button", { name: "double" }).click();
  assert.equal(console.watch.clicks, 2);
  await page.getByText("one is changed").first().waitFor();
  console.watch.reset();
  await page.getByRole("button", { name: "Change the end of one" }).click();
  await page.getByRole("menuitem", { name: "30 days more" }).click();
  await page.getByRole("button", { name: "Change the end of one" }).getByText("Never").waitFor({ state: "hidden" });
  assert.equal(console.watch.clicks, 2);
  console.watch.reset();
  await page.getByRole("button", { name: "Disable one" }).click();
  await page.getByText("one is disabled").first().waitFor();
  assert.equal(console.watch.clicks, 1);
  const [one, two] = await keys(console);
  assert.deepEqual([one!.dailyCostLimit, two!.dailyCostLimit, one!.isActive], [20, 10, false]);
  assert.ok(Date.parse(one!.expiresAt!) > Date.now() + 29 * 86_400_000);
  await page.getByRole("button", { name: "Undo" }).last().click();
  await page.getByRole("button", { name: "Disable one" }).waitFor();
});

test("many keys change with four clicks, and what fails says why and stays ticked", async (t) => {
  const console = await Console.start(t);
  const ids = [];
  for (const name of ["one", "two", "three"]) ids.push((await made(console, { name, dailyCostLimit: 10 })).id);
  const page = await console.login("api-keys");
  console.watch.reset();
  await page.getByRole("checkbox", { name: "Tick all on this page" }).click();
  await page.getByRole("button", { name: "Change many" }).click();
  await page.getByLabel("Dollars", { exact: true }).fill("7");
  await page.getByRole("button", { name: "Look at 3" }).click();
  await page.getByText("3 will change").waitFor();
  await console.accessible("a batch before it is done");
  // Meanwhile somebody else deletes one.
  await console.api("DELETE", `/admin/api-keys/${ids[1]}`);
  await page.getByRole("button", { name: "Change 3", exact: true }).click();
  await page.getByText("2 done, 1 failed").waitFor();
  assert.equal(console.watch.clicks, 4);
  await page.getByText("Its state does not allow that").waitFor();
  await page.getByRole("dialog").getByRole("button", { name: "Close" }).first().click();
  assert.deepEqual((await keys(console)).map((one) => one.dailyCostLimit), [7, 7]);
  // A tag for all that match, also those on no page.
  await page.getByRole("button", { name: "Change many" }).click();
  await page.getByLabel("All 2 that match").check();
  await page.getByLabel("Change", { exact: true }).selectOption("addTag");
  await page.getByLabel("Tag", { exact: true }).fill("class");
  await page.getByRole("button", { name: "Look at 2" }).click();
  await page.getByRole("button", { name: "Change 2", exact: true }).click();
  await page.getByText("2 done, 0 failed").waitFor();
  assert.deepEqual((await keys(console)).map((one) => one.tags), [["class"], ["class"]]);
});

test("all settings of a key are edited, and what changes is shown before", async (t) => {
  const console = await Console.start(t);
  const account = await console.api<Key>("POST", "/admin/accounts", { name: "Team account", platform: "claude", credentials: { type: "apiKey", apiKey: "sk-ant-a" } });
  const key = await made(console, { name: "Ada", dailyCostLimit: 5, tags: ["a"], bindings: { claude: account.id } });
  const page = await console.login(`api-keys/${key.id}`);
  await page.getByRole("button", { name: "Edit", exact: true }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText("How much?").click();
  await dialog.getByLabel("Dollars a day").fill("6");
  await dialog.getByLabel("Calls at once").fill("2");
  await dialog.getByLabel("Calls that may wait").fill("3");
  await dialog.getByText("Tags and notes").click();
  await dialog.getByLabel("Tags", { exact: true }).fill("a, b");
  await console.accessible("the edit of a key");
  await dialog.getByRole("button", { name: "Look at the changes" }).click();
  await dialog.getByText("$5.00").waitFor();
  await console.accessible("the changes of a key");
  await dialog.getByRole("button", { name: "Save" }).click();
  await dialog.waitFor({ state: "hidden" });
  const after = await console.api<Key & { concurrencyQueueSize: number; concurrencyQueueTimeout: number }>("GET", `/admin/api-keys/${key.id}`);
  assert.deepEqual([after.dailyCostLimit, after.tags, after.concurrencyQueueSize, after.concurrencyQueueTimeout], [6, ["a", "b"], 3, 10_000]);
});

test("a new secret replaces the old one at once", async (t) => {
  const console = await Console.start(t);
  await console.api("POST", "/admin/accounts", { name: "A", platform: "claude", credentials: { type: "apiKey", apiKey: "sk-ant-a" } });
  const key = await made(console, { name: "Ada" });
  assert.equal(await status(console, key.key), 200);
  const page = await console.login(`api-keys/${key.id}`);
  console.watch.reset();
  await page.getByRole("button", { name: "More for Ada" }).click();
  await page.getByRole("menuitem", { name: "New secret" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "New secret" }).click();
  const secret = await page.getByLabel("Key", { exact: true }).innerText();
  assert.equal(console.watch.clicks, 3);
  assert.equal(await status(console, key.key), 401);
  assert.equal(await status(console, secret), 200);
  await page.getByRole("link", { name: "Keys", exact: true }).first().click();
  await page.getByRole("button", { name: "Leave", exact: true }).click();
  await page.getByRole("link", { name: "Ada" }).waitFor();
  assert.ok(!(await page.content()).includes(secret), "the secret stayed in the page");
});

test("a key is deleted by its name, restored, and purged for good", async (t) => {
  const console = await Console.start(t);
  const key = await made(console, { name: "Ada" });
  const page = await console.login("api-keys");
  const remove = async (item: string, action: string) => {
    await page.getByRole("button", { name: "More for Ada" }).click();
    await page.getByRole("menuitem", { name: item }).click();
    await page.getByRole("dialog").getByRole("textbox").fill("Ada");
    await page.getByRole("dialog").getByRole("button", { name: action }).click();
    await page.getByRole("dialog").waitFor({ state: "hidden" });
  };
  await remove("Delete", "Delete");
  await page.getByLabel("Status", { exact: true }).selectOption("deleted");
  await page.getByRole("button", { name: "Restore Ada" }).click();
  await page.getByText("Ada works again").first().waitFor();
  assert.equal((await keys(console)).length, 1);
  await console.api("DELETE", `/admin/api-keys/${key.id}`);
  await page.reload();
  await remove("Purge", "Purge");
  assert.deepEqual(await keys(console, "&deleted=true"), []);
});

test("filters, sort and page come back with the back button", async (t) => {
  const console = await Console.start(t);
  for (let number = 10; number < 40; number++) await made(console, { name: `key ${number}`, tags: [number % 2 ? "odd" : "even"] });
  const page = await console.login("api-keys?sort=name&order=asc&tags=odd&pageSize=20");
  await page.getByRole("link", { name: "key 11" }).click();
  await page.getByRole("heading", { name: "key 11" }).waitFor();
  await page.goBack();
  await page.getByRole("link", { name: "key 39" }).waitFor();
  assert.equal(await page.getByRole("link", { name: /^key \d\d$/ }).count(), 15);
});

test("the set-up guide carries the key that was pasted, for a system with two clicks, on a phone", async (t) => {
  const console = await Console.start(t);
  await console.look({ width: 360 });
  const page = await console.open("tutorial");
  await page.getByLabel("Your key").fill("cr_pasted");
  await page.getByText("ANTHROPIC_AUTH_TOKEN=cr_pasted").waitFor();
  const system = page.getByLabel("System", { exact: true });
  await system.selectOption("powershell");
  await page.getByText("$env:ANTHROPIC_AUTH_TOKEN").waitFor();
  await console.context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await page.getByRole("button", { name: /^Copy: / }).first().click();
  assert.match(await page.evaluate(() => navigator.clipboard.readText()), /cr_pasted/);
  await console.accessible("the guide");
});

test("the pages are accessible in both themes and languages, and fit a desk and a phone", async (t) => {
  const console = await Console.start(t);
  const account = await console.api<Key>("POST", "/admin/accounts", { name: "Team account", platform: "claude", credentials: { type: "apiKey", apiKey: "sk-ant-a" } });
  const first = await made(console, { name: "x".repeat(100), dailyCostLimit: 10, totalCostLimit: 1_000_000, tags: ["one", "two"], bindings: { claude: account.id } });
  await status(console, first.key);
  await made(console, { name: "No limits" });
  await made(console, { name: "Off", isActive: false, concurrencyLimit: 2, expiresAt: "2026-01-01T00:00:00Z" });
  for (const theme of THEMES) {
    for (const language of LANGUAGES) {
      for (const width of [1280, 360]) {
        await console.look({ theme, language, width });
        const what = `${theme} ${language} ${width}`;
        const page = await console.login("api-keys");
        await page.getByRole("link", { name: "No limits" }).waitFor();
        await console.accessible(`list ${what}`);
        if (width === 1280) {
          const beyond = await page.locator(".dt-scroll").evaluate((box) => box.scrollWidth - box.clientWidth);
          assert.ok(beyond <= 0, `the list is ${beyond} px wider than its place: ${what}`);
        } else {
          assert.ok(await page.locator(".dt-scroll").locator("xpath=..").locator("select").first().inputValue(), "the sort of a phone is blank");
        }
        await console.open(`api-keys/${first.id}`);
        await console.settled();
        await page.getByRole("heading", { level: 1 }).waitFor();
        await console.accessible(`a key ${what}`);
        await console.open("api-keys/new");
        await console.settled();
        for (const fold of await page.locator("details > summary").all()) await fold.click();
        await console.accessible(`new key ${what}`);
      }
    }
  }
});

test("a filter is kept as a view with a name, in the address and in this browser", async (t) => {
  const console = await Console.start(t);
  for (const [name, tags] of [["Ada", ["team"]], ["Bob", ["trial"]], ["Eve", ["trial"]]] as const) await made(console, { name, tags });
  const page = await console.login("api-keys?tags=trial&sort=name&order=asc&page=1");
  await page.getByRole("button", { name: "Views" }).click();
  await page.getByRole("menuitem", { name: "Save this filter" }).click();
  const dialog = page.getByRole("dialog");
  const name = "Trial <b>keys</b> \u202e of 2026";
  await dialog.getByLabel("Name").fill(name);
  await console.accessible("naming a view");
  await page.keyboard.press("Enter");
  await dialog.waitFor({ state: "detached" });
  const button = page.getByRole("button", { name: "Trial <b>keys</b>" });
  await button.waitFor();
  await page.getByRole("button", { name: "Clear filters" }).click();
  await page.getByRole("link", { name: "Ada" }).waitFor();
  // Two clicks bring it back: filter and order are in the address again, and back leaves it.
  await page.getByRole("button", { name: "Views" }).click();
  await page.getByRole("menuitem", { name: "Trial <b>keys</b>" }).click();
  await page.getByRole("link", { name: "Ada" }).waitFor({ state: "detached" });
  const { searchParams } = new URL(page.url());
  assert.deepEqual([searchParams.get("tags"), searchParams.get("sort"), searchParams.get("order")], ["trial", "name", "asc"]);
  await page.goBack();
  await page.getByRole("link", { name: "Ada" }).waitFor();
  // It is there after a new start; with the address of the view its name is shown, and it can go, and come back.
  await page.goForward();
  await page.reload();
  await button.click();
  await page.getByRole("menuitem", { name: /Remove the view/ }).click();
  await page.getByRole("button", { name: "Views", exact: true }).waitFor();
  await page.getByRole("button", { name: "Undo" }).click();
  await button.waitFor();
  // What is broken in the browser's storage breaks nothing.
  await page.evaluate(() => localStorage.setItem("crs-views-api-keys", '[{"name":"x"},7'));
  await page.reload();
  await page.getByRole("button", { name: "Views", exact: true }).waitFor();
});
