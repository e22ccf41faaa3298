// A clumsy operator, and one whom somebody else gets in the way: double clicks, the back button in the middle of a
// form, the same record open twice, a network that goes away with the answer, a session that was ended elsewhere, the
// wrong thing pasted.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { Page, Request } from "playwright-core";

import { Console, closeBrowser } from "./support/console.ts";

after(closeBrowser);

interface Key { id: string; name: string; key: string; isActive: boolean; dailyCostLimit: number; description: string }
interface Account { id: string; name: string; priority: number; maxConcurrency: number; description: string; modelMapping: Record<string, string> }

const newKey = (made: Console, body: object) => made.api<Key>("POST", "/admin/api-keys", body);
const keyOf = (made: Console, id: string) => made.api<Key>("GET", `/admin/api-keys/${id}`);
const newAccount = (made: Console, name: string) =>
  made.api<Account>("POST", "/admin/accounts", { name, platform: "claude", credentials: { type: "apiKey", apiKey: "sk-ant-test-clumsy" } });
const accountOf = (made: Console, id: string) => made.api<Account>("GET", `/admin/accounts/${id}`);

/** What the page has written since: method and path, without looks that change nothing. */
function writes(page: Page): string[] {
  const seen: string[] = [];
  page.on("request", (request: Request) => {
    const { pathname } = new URL(request.url());
    if (!["GET", "OPTIONS", "HEAD"].includes(request.method()) && pathname.startsWith("/admin/")) seen.push(`${request.method()} ${pathname.replace(/[0-9a-f-]{36}/g, "ID")}`);
  });
  return seen;
}
/** Answers come this late, so that a second press finds the first under way. */
const slow = (page: Page, pattern = "**/admin/**") => page.route(pattern, async (route) => {
  await new Promise((resolve) => setTimeout(resolve, 250));
  await route.continue().catch(() => {});
});

test("a double click does each thing once", async (t) => {
  const made = await Console.start(t);
  const [ada, bob] = [await newKey(made, { name: "Ada" }), await newKey(made, { name: "Bob" })];
  const account = await newAccount(made, "First");
  const page = await made.login("api-keys/new");
  await slow(page);
  const seen = writes(page);
  const once = async (expected: string[], what: string) => {
    await made.settled();
    await page.waitForTimeout(400);
    assert.deepEqual(seen.splice(0), expected, what);
  };

  await page.getByLabel("Name", { exact: true }).fill("Twice");
  await page.getByRole("button", { name: "Create" }).dblclick();
  await page.getByRole("heading", { name: "Twice is ready" }).waitFor();
  await once(["POST /admin/api-keys"], "a new key");
  await page.getByRole("link", { name: "To the list" }).click();
  await page.getByRole("button", { name: "Leave" }).click();

  // Two keys, one right after the other: each is switched off, and what is said is true.
  await page.getByRole("button", { name: "Disable Ada" }).click();
  await page.getByRole("button", { name: "Disable Bob" }).click();
  await page.getByText("Ada is disabled").first().waitFor();
  await page.getByText("Bob is disabled").first().waitFor();
  assert.deepEqual([(await keyOf(made, ada.id)).isActive, (await keyOf(made, bob.id)).isActive], [false, false]);
  await once(["PATCH /admin/api-keys/ID", "PATCH /admin/api-keys/ID"], "two keys");

  // The second press of a double click on "look" is no yes to the changes.
  await made.open(`accounts/${account.id}`);
  await page.getByRole("button", { name: "Edit" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Name", { exact: true }).fill("Renamed");
  await dialog.getByRole("button", { name: "Look at the changes" }).dblclick();
  await dialog.getByRole("button", { name: "Save" }).waitFor();
  await once([], "a look at the changes");
  await dialog.getByRole("button", { name: "Save" }).dblclick();
  await dialog.waitFor({ state: "detached" });
  await once(["PATCH /admin/accounts/ID"], "saving");

  await page.getByRole("button", { name: "Pause" }).dblclick();
  await page.getByText("Renamed is paused").first().waitFor();
  await once(["PATCH /admin/accounts/ID"], "pausing");

  await made.open("settings?tab=groups");
  await page.getByRole("button", { name: "New group" }).first().click();
  await page.getByRole("dialog").getByLabel("Name").fill("Team");
  await page.getByRole("dialog").getByRole("button", { name: "Save" }).dblclick();
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await once(["POST /admin/account-groups"], "a new group");

  await made.open(`api-keys/${ada.id}`);
  await page.getByRole("button", { name: /More/ }).click();
  await page.getByRole("menuitem", { name: "Delete" }).click();
  await page.getByRole("dialog").getByRole("textbox").fill("Ada");
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).dblclick();
  await page.getByRole("button", { name: "Restore" }).waitFor();
  await once(["DELETE /admin/api-keys/ID"], "deleting");
  await page.getByRole("button", { name: "Restore" }).dblclick();
  await page.getByRole("button", { name: "Edit" }).waitFor();
  await once(["POST /admin/api-keys/ID/restore"], "restoring");

  await made.open("accounts/new");
  await page.getByLabel("API key", { exact: true }).last().fill("sk-ant-test-another");
  await page.getByRole("button", { name: "Add and test" }).dblclick();
  await page.getByText("is added").first().waitFor();
  assert.equal(seen.filter((one) => one === "POST /admin/accounts").length, 1, "a new account");
});

test("the back button in the middle of a form asks before it throws away what was typed", async (t) => {
  const made = await Console.start(t);
  const key = await newKey(made, { name: "Ada" });
  const account = await newAccount(made, "First");
  const page = await made.login("dashboard");
  const stays = async (path: string) => {
    await page.goBack();
    await page.getByRole("button", { name: "Stay" }).click();
    assert.equal(new URL(page.url()).pathname, `/admin-next/${path}`);
  };
  await page.getByRole("link", { name: "Keys", exact: true }).click();
  await page.getByRole("link", { name: "New key" }).first().click();
  await page.getByLabel("Name", { exact: true }).fill("Half done");
  await stays("api-keys/new");
  assert.equal(await page.getByLabel("Name", { exact: true }).inputValue(), "Half done");
  // The form's own button is answer enough.
  await page.getByRole("button", { name: "Cancel" }).click();
  await page.waitForURL(/\/api-keys$/);

  await page.getByRole("link", { name: "Accounts", exact: true }).click();
  await page.getByRole("link", { name: "Add account" }).first().click();
  await page.getByText("Gemini", { exact: true }).click();
  await page.getByLabel("API key", { exact: true }).last().fill("AIza-test");
  await stays("accounts/new");
  assert.equal(await page.getByLabel("API key", { exact: true }).last().inputValue(), "AIza-test");
  await page.goBack();
  await page.getByRole("button", { name: "Leave" }).click();
  await page.waitForURL(/\/accounts$/);
  await page.goForward();
  await page.getByRole("heading", { name: "Add account" }).waitFor();
  assert.equal(await page.getByLabel("API key", { exact: true }).last().inputValue(), "", "the secret is gone");

  for (const [path, field, value] of [[`api-keys/${key.id}`, "Description", "half"], [`accounts/${account.id}`, "Description", "half"]] as const) {
    await made.open(path.split("/")[0]!);
    await page.getByRole("link", { name: path.startsWith("api-keys") ? "Ada" : "First" }).click();
    await page.getByRole("button", { name: "Edit" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText(/Tags and notes|More/).first().click().catch(() => {});
    await dialog.getByLabel(field).fill(value);
    await stays(path);
    assert.equal(await dialog.getByLabel(field).inputValue(), value);
    await dialog.getByRole("button", { name: "Cancel" }).click();
  }
});

test("what somebody else changed meanwhile is told and not lost", async (t) => {
  const made = await Console.start(t);
  const account = await newAccount(made, "First");
  const key = await newKey(made, { name: "Ada", dailyCostLimit: 1 });
  const page = await made.login(`accounts/${account.id}`);
  const dialog = page.getByRole("dialog");
  const save = async () => {
    await dialog.getByRole("button", { name: "Look at the changes" }).click();
    await dialog.getByRole("button", { name: "Save" }).click();
  };

  // The same account in another tab: one field is changed in both, one there alone.
  await page.getByRole("button", { name: "Edit" }).click();
  await dialog.getByLabel("Priority").fill("10");
  await made.api("PATCH", `/admin/accounts/${account.id}`, { priority: 70, description: "theirs", modelMapping: { a: "b" } });
  await save();
  await dialog.getByText("Somebody changed this meanwhile").waitFor();
  await dialog.getByRole("listitem").filter({ hasText: "70" }).waitFor();
  assert.equal((await accountOf(made, account.id)).priority, 70, "nothing was sent");
  await made.accessible("a change that clashes");
  await save();
  await dialog.waitFor({ state: "detached" });
  const now = await accountOf(made, account.id);
  assert.deepEqual([now.priority, now.description, now.modelMapping], [10, "theirs", { a: "b" }], "what only they changed stays");

  // A key, by its page and by its limits in the list.
  await made.open(`api-keys/${key.id}`);
  await page.getByRole("button", { name: "Edit" }).click();
  await dialog.getByLabel("Name", { exact: true }).fill("Ada of mine");
  await made.api("PATCH", `/admin/api-keys/${key.id}`, { name: "Ada of theirs" });
  await save();
  await dialog.getByText("Meanwhile changed by someone else to").waitFor();
  assert.equal((await keyOf(made, key.id)).name, "Ada of theirs");
  await dialog.getByRole("button", { name: "Cancel" }).click();
  await made.open("api-keys");
  await page.getByRole("button", { name: "Change the limits of Ada of theirs" }).click();
  await dialog.getByLabel("Dollars a day").fill("2");
  await made.api("PATCH", `/admin/api-keys/${key.id}`, { dailyCostLimit: 9 });
  await page.keyboard.press("Enter");
  await dialog.getByText("Meanwhile changed by someone else to").waitFor();
  assert.equal((await keyOf(made, key.id)).dailyCostLimit, 9);
  await page.keyboard.press("Enter");
  await dialog.waitFor({ state: "detached" });
  assert.equal((await keyOf(made, key.id)).dailyCostLimit, 2);

  // The site's name.
  await made.open("settings?tab=branding");
  await page.getByLabel("Site name").fill("Mine");
  await made.api("PUT", "/admin/oem-settings", { siteName: "Theirs" });
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("Somebody else changed this meanwhile").waitFor();
  assert.equal((await made.api<{ siteName: string }>("GET", "/admin/oem-settings")).siteName, "Theirs");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("Branding is saved").first().waitFor();
  assert.equal((await made.api<{ siteName: string }>("GET", "/admin/oem-settings")).siteName, "Mine");
});

test("an answer that is lost is told, and what was typed stays", async (t) => {
  const made = await Console.start(t);
  made.watch.allow(/net::ERR_/);
  const account = await newAccount(made, "First");
  const page = await made.login("api-keys/new");
  // The relay does it, and the network goes away with the answer.
  const lose = (pattern: string, method: string) => page.route(pattern, async (route) => {
    if (route.request().method() !== method) return route.continue();
    await route.fetch();
    await route.abort("connectionreset");
  });
  await lose("**/admin/api-keys", "POST");
  await page.getByLabel("Name", { exact: true }).fill("Once");
  await page.keyboard.press("Enter");
  await page.getByText("The relay cannot be reached").waitFor();
  await page.getByText("It may have been done all the same").waitFor();
  assert.equal(await page.getByLabel("Name", { exact: true }).inputValue(), "Once");
  await page.unroute("**/admin/api-keys");

  await made.open(`accounts/${account.id}`).catch(() => {});
  await page.getByRole("heading", { name: "First", exact: true }).waitFor();
  await lose(`**/admin/accounts/${account.id}`, "PATCH");
  await page.getByRole("button", { name: "Edit" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Priority").fill("10");
  const save = async () => {
    await dialog.getByRole("button", { name: "Look at the changes" }).click();
    await dialog.getByRole("button", { name: "Save" }).click();
  };
  await save();
  await dialog.getByText("The relay cannot be reached").waitFor();
  assert.equal(await dialog.getByLabel("Priority").inputValue(), "10");
  assert.ok(await dialog.getByText("The relay cannot be reached").evaluate((said) => said.getBoundingClientRect().top < innerHeight / 2), "it stands where it is seen");
  await page.unroute(`**/admin/accounts/${account.id}`);
  // What the relay has is read again: there is nothing left to send, and nobody is accused of it.
  await dialog.getByRole("button", { name: "Look at the changes", disabled: true }).waitFor();
  assert.equal(await dialog.getByText("Somebody changed this meanwhile").count(), 0);
  await dialog.getByRole("button", { name: "Cancel" }).click();
  await dialog.waitFor({ state: "detached" });
  assert.equal((await accountOf(made, account.id)).priority, 10);
  // A pause that does not arrive is not shown as one.
  await made.open("accounts");
  await page.route(`**/admin/accounts/${account.id}`, (route) => (route.request().method() === "PATCH" ? route.abort("connectionreset") : route.continue()));
  await page.getByRole("button", { name: "Pause" }).click();
  await page.getByRole("row").filter({ hasText: "First" }).getByText("Active").waitFor();
  assert.equal(await page.getByText("First is paused").count(), 0);
});

test("a session that was ended elsewhere keeps what is being edited", async (t) => {
  const made = await Console.start(t);
  made.watch.allowStatus(401);
  const account = await newAccount(made, "First");
  const page = await made.login(`accounts/${account.id}`);
  await page.getByRole("button", { name: "Edit" }).click();
  const dialog = page.getByRole("dialog", { name: /Edit/ });
  await dialog.getByLabel("Priority").fill("10");
  await dialog.getByRole("button", { name: "Look at the changes" }).click();
  await made.api("POST", "/web/auth/logout", { everywhere: true });
  await dialog.getByRole("button", { name: "Save" }).click();
  const again = page.getByRole("dialog", { name: "Log in again" });
  await again.locator("input[type=password]").fill(made.relay.password);
  await page.keyboard.press("Enter");
  await page.getByText("First is changed").first().waitFor();
  await page.getByRole("row").or(page.getByText("Priority")).first().waitFor();
  const { token } = await made.newSession();
  const answer = await fetch(`${made.relay.url}/admin/accounts/${account.id}`, { headers: { authorization: `Bearer ${token}` } });
  assert.equal(((await answer.json()) as Account).priority, 10);
});

test("the wrong thing pasted is told at its field before anything is made", async (t) => {
  const made = await Console.start(t);
  const page = await made.login("accounts/new");
  const seen = writes(page);
  const field = page.getByLabel("API key", { exact: true }).last();
  for (const [pasted, said] of [["sk-ant-oat01-abcdefgh", "access token"], ["sk-proj-abcdefgh", "API key of OpenAI"], [`cr_${"0".repeat(64)}`, "key of a relay"], ["https://console.example.com/keys", "an address"], ['{"claudeAiOauth":{}}', "login file"]] as const) {
    await field.fill(pasted);
    await page.getByRole("button", { name: "Add and test" }).click();
    await page.getByText(said).last().waitFor();
    assert.equal(await page.evaluate(() => document.activeElement?.getAttribute("aria-invalid")), "true", said);
  }
  await made.accessible("a wrong paste");
  assert.deepEqual(seen, []);
  // A line of a shell is what it says.
  await field.fill('export ANTHROPIC_API_KEY="sk-ant-test-from-a-shell"');
  await page.getByRole("button", { name: "Add and test" }).click();
  await page.getByText("is added").first().waitFor();
  assert.ok(!(await page.content()).includes("from-a-shell"));
  // A holder pastes the line of the set-up, too.
  const { key } = await newKey(made, { name: "Ada" });
  await made.open("api-stats");
  await page.getByLabel("Your key").fill(`export ANTHROPIC_AUTH_TOKEN=${key}`);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Ada" }).waitFor();
});

test("a name as long as names may be, of marks and one word, breaks no page", async (t) => {
  const made = await Console.start(t, { width: 360 });
  const long = "W".repeat(98) + "\u0627\u05d0";
  const account = await newAccount(made, long);
  const key = await newKey(made, { name: long, description: "W".repeat(500), tags: ["T".repeat(50)] });
  await made.login("dashboard");
  for (const path of ["accounts", `accounts/${account.id}`, "api-keys", `api-keys/${key.id}`, "audit"]) {
    await made.open(path);
    await made.settled();
    await made.accessible(`${path} with a long name`);
  }
  const page = made.page;
  await made.open(`api-keys/${key.id}`);
  await page.getByRole("button", { name: "Edit" }).click();
  await page.getByRole("dialog").getByLabel("Name", { exact: true }).waitFor();
  await made.accessible("the form with a long name");
});
