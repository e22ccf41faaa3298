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
