// Accounts: added in each way, signed in again, limited and reset, changed one by one and many at once.

import assert from "node:assert/strict";
import { after, test } from "node:test";

import { Console, LANGUAGES, THEMES, WIDTHS, closeBrowser } from "./support/console.ts";

after(closeBrowser);

interface Listed {
  items: { id: string; name: string; priority: number; schedulable: boolean; status: string; proxy: unknown; groups: string[] }[];
}
const accounts = async (made: Console) => (await made.api<Listed>("GET", "/admin/accounts?sortBy=name&sortOrder=asc")).items;

async function withKey(made: Console, name: string, more: object = {}): Promise<string> {
  const body = { name, platform: "claude", credentials: { type: "apiKey", apiKey: "sk-ant-some" }, ...more };
  return (await made.api<{ id: string }>("POST", "/admin/accounts", body)).id;
}

/** A call of a client; resolves to its status. */
async function call(made: Console): Promise<number> {
  const { key } = await made.api<{ key: string }>("POST", "/admin/api-keys", { name: `k${Math.random()}` });
  const response = await fetch(`${made.relay.url}/api/v1/messages`, {
    method: "POST",
    headers: { "x-api-key": key, "content-type": "application/json", "anthropic-version": "2023-06-01" },
    body: JSON.stringify({ model: "claude-sonnet-4-5", max_tokens: 9, messages: [{ role: "user", content: "hello" }] }),
  });
  await response.text();
  return response.status;
}

/** Links that would open the provider's page in a tab of its own lead nowhere. */
const stayHere = (made: Console) =>
  made.page.evaluate(() =>
    addEventListener("click", (event) => (event.target as Element).closest("a[target=_blank]") && event.preventDefault()),
  );

const SIGN_IN = { CLAUDE_OAUTH_CLIENT_ID: "the-client" };

test("an account with an API key: two clicks and a paste, and it is tested", async (t) => {
  const made = await Console.start(t);
  const page = await made.login("accounts");
  made.watch.reset();
  await page.getByRole("link", { name: "Add account" }).first().click();
  await page.getByRole("textbox", { name: "API key", exact: true }).fill("sk-ant-new");
  await page.getByRole("button", { name: "Add and test" }).click();
  await page.getByText(/answers \(/).waitFor();
  assert.equal(made.watch.clicks, 2);
  await made.accessible("an account that was added");
  assert.ok(!(await page.content()).includes("sk-ant-new"), "the secret stayed in the page");
  assert.deepEqual((await accounts(made)).map((one) => one.name), ["Claude key"]);
});

test("by a sign-in: four clicks and a paste; a wrong paste and a reload keep it", async (t) => {
  const made = await Console.start(t, { settings: SIGN_IN });
  const page = await made.login("accounts");
  await stayHere(made);
  made.watch.reset();
  await page.getByRole("link", { name: "Add account" }).first().click();
  await page.getByText("Sign in at the provider").click();
  const link = page.getByRole("link", { name: "Open the sign-in page" });
  const address = (await link.getAttribute("href")) ?? "";
  await link.click();
  const { code } = await made.provider.allow(address);
  await page.getByLabel("Code or address from that page").fill(code);
  await page.getByRole("button", { name: "Finish" }).click();
  await page.getByText(/answers \(/).waitFor();
  assert.equal(made.watch.clicks, 4);

  await page.getByRole("button", { name: "Add another" }).click();
  await page.getByRole("textbox", { name: /^Name/ }).fill("Second");
  // The name belongs to the sign-in, so it begins anew with it.
  await page.getByRole("button", { name: "Get the link" }).click();
  await link.waitFor();
  await page.getByLabel("Code or address from that page").fill("https://x.example/?code=abc&state=other");
  made.watch.allowStatus(422);
  await page.keyboard.press("Enter");
  await page.getByText("belongs to another sign-in").waitFor();
  const second = (await link.getAttribute("href")) ?? "";
  await page.reload();
  assert.equal(await link.getAttribute("href"), second);
  const { callback } = await made.provider.allow(second);
  await page.getByLabel("Code or address from that page").fill(callback);
  await page.keyboard.press("Enter");
  await page.getByText(/answers \(/).waitFor();
  assert.equal((await accounts(made)).filter((one) => one.name === "Second").length, 1);
});

test("by a login file and by tokens; what is wrong stands at its field", async (t) => {
  const made = await Console.start(t);
  const page = await made.login("accounts/new?way=file");
  made.watch.allowStatus(422);
  await page.getByLabel("Or its content").fill('{"no": "login"}');
  await page.getByRole("button", { name: "Add and test" }).click();
  await page.getByText("holds no login").waitFor();
  const tokens = await made.provider.tokens();
  const file = { claudeAiOauth: { accessToken: tokens.access, refreshToken: tokens.refresh, expiresAt: Date.now() + 3_600_000 } };
  await page.locator("input[type=file]").setInputFiles({ name: ".credentials.json", mimeType: "application/json", buffer: Buffer.from(JSON.stringify(file)) });
  await page.getByText(".credentials.json is read").waitFor();
  await page.getByRole("textbox", { name: /^Name/ }).fill("From a file");
  await page.getByRole("button", { name: "Add and test" }).click();
  await page.getByText(/answers \(/).waitFor();

  await made.open("accounts/new?way=tokens");
  const more = await made.provider.tokens();
  await page.getByLabel("Access token", { exact: true }).fill(more.access);
  await page.getByText("Proxy, groups, priority").click();
  const proxy = page.getByRole("textbox", { name: "Proxy" });
  await proxy.fill("nonsense");
  await page.getByRole("button", { name: "Add and test" }).click();
  await page.getByText("Not the address of a proxy").waitFor();
  await proxy.fill("");
  await page.getByRole("button", { name: "Add and test" }).click();
  await page.getByText(/answers \(/).waitFor();
  assert.deepEqual((await accounts(made)).map((one) => one.name), ["Claude login", "From a file"]);

  // The relay has no client for this provider: it says which variable to set.
  await made.open("accounts/new?platform=openai&way=signIn");
  await page.getByText("set OPENAI_OAUTH_CLIENT_ID").waitFor();
  await page.getByText("no OAuth client for this provider").waitFor();
});

test("by Amazon's access keys: what is missing stands at its field, and the keys stay out of the page", async (t) => {
  const made = await Console.start(t);
  const [id, secret] = ["AKIAIOSFODNN7EXAMPLE", "a/secret+of/aws="];
  await made.provider.takesAccessKeys(id, secret);
  const page = await made.login("accounts/new");
  await page.getByText("Amazon access keys").click();
  await page.getByLabel("Access key ID").fill(id);
  await page.getByLabel("Secret access key").fill(secret);
  await page.getByRole("button", { name: "Add and test" }).click();
  assert.equal(await page.getByLabel("Region").getAttribute("aria-invalid"), "true");
  await page.getByLabel("Region").fill("eu-west-1");
  await page.getByRole("textbox", { name: /^Address/ }).fill(`${made.provider.url}/anthropic`);
  await made.accessible("access keys");
  await page.getByRole("button", { name: "Add and test" }).click();
  await page.getByText(/answers \(/).waitFor();
  assert.ok(!(await page.content()).includes(secret), "the secret stayed in the page");
  const call = (await made.provider.calls()).at(-1);
  assert.equal(call?.credential, id);
  assert.match(call?.body ?? "", /"eu\.anthropic\.claude-/);
  const [account] = await accounts(made);
  await made.open(`accounts/${account?.id}`);
  await page.getByText(id).waitFor();
  // Only Claude is at Bedrock.
  await made.open("accounts/new?platform=openai&way=accessKeys");
  await page.getByRole("textbox", { name: "API key", exact: true }).waitFor();
  assert.equal(await page.getByText("Amazon access keys").count(), 0);
});

test("by a Google service account: the key file is read, and stays out of the page", async (t) => {
  const made = await Console.start(t);
  const email = "relay@my-project.iam.gserviceaccount.com";
  const file = JSON.stringify(await made.provider.serviceAccount(email));
  const page = await made.login("accounts/new");
  await page.getByText("Google service account").click();
  await page.getByLabel("Region").fill("global");
  await page.getByRole("button", { name: "Add and test" }).click();
  assert.equal(await page.getByRole("textbox", { name: /^Or its content/ }).getAttribute("aria-invalid"), "true");
  await page.locator("input[type=file]").setInputFiles({ name: "key.json", mimeType: "application/json", buffer: Buffer.from(file) });
  await page.getByText("key.json is read").waitFor();
  await page.getByRole("textbox", { name: /^Address/ }).fill(made.provider.url);
  await made.accessible("service account");
  await page.getByRole("button", { name: "Add and test" }).click();
  await page.getByText(/answers \(/).waitFor();
  assert.ok(!(await page.content()).includes("PRIVATE KEY"), "the key stayed in the page");
  const call = (await made.provider.calls()).at(-1);
  assert.match(call?.target ?? "", /\/projects\/my-project\/locations\/global\/publishers\/anthropic\/models\/claude-haiku-4-5@20251001:rawPredict$/);
  const [account] = await accounts(made);
  await made.open(`accounts/${account?.id}`);
  await page.getByText(email).waitFor();
});

test("by an Entra application: the relay fetches its token, and the secret stays out of the page", async (t) => {
  const made = await Console.start(t);
  const [tenant, client, secret] = ["contoso.onmicrosoft.com", "00001111-aaaa-2222-bbbb-3333cccc4444", "qWgdYAmab0YSkuL~qKv5bPX"];
  await made.provider.takesEntraApp(tenant, client, secret);
  const page = await made.login("accounts/new?platform=openai");
  await page.getByText("Microsoft Entra application").click();
  await page.getByLabel("Tenant ID").fill(tenant);
  await page.getByLabel("Application ID").fill(client);
  await page.getByLabel("Client secret").fill(secret);
  await page.getByRole("button", { name: "Add and test" }).click();
  assert.equal(await page.getByLabel("Address of the resource").getAttribute("aria-invalid"), "true");
  await page.getByLabel("Address of the resource").fill(`${made.provider.url}/openai`);
  await made.accessible("Entra application");
  await page.getByRole("button", { name: "Add and test" }).click();
  await page.getByText(/answers \(/).waitFor();
  assert.ok(!(await page.content()).includes(secret), "the secret stayed in the page");
  const call = (await made.provider.calls()).at(-1);
  assert.equal(call?.target, "/openai/v1/responses");
  assert.match(call?.credential ?? "", /^eyJ/);
  const [account] = await accounts(made);
  await made.open(`accounts/${account?.id}`);
  await page.getByText(client).waitFor();
  await page.getByRole("button", { name: "Edit" }).first().click();
  await page.getByRole("textbox", { name: /^API version/ }).waitFor();
  // Only Azure has such applications.
  await made.open("accounts/new?platform=claude&way=entraApp");
  await page.getByRole("textbox", { name: "API key", exact: true }).waitFor();
  assert.equal(await page.getByText("Microsoft Entra application").count(), 0);
});

test("an OpenAI account whose host supports only chat completions is tested by them", async (t) => {
  const made = await Console.start(t);
  await made.provider.answers({ route: "chatCompletions", answer: { text: "hello" } });
  const body = { name: "host", platform: "openai", credentials: { type: "apiKey", apiKey: "sk-host", baseUrl: `${made.provider.url}/v1` } };
  const { id } = await made.api<{ id: string }>("POST", "/admin/accounts", body);
  const page = await made.login(`accounts/${id}`);
  await page.getByRole("button", { name: "Edit" }).first().click();
  await page.getByRole("switch", { name: "Only chat completions" }).click();
  await page.getByRole("button", { name: "Look at the changes" }).click();
  await page.getByRole("dialog").getByText("Only chat completions").waitFor();
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByRole("dialog").waitFor({ state: "hidden" });
  assert.equal((await made.api<{ chatOnly: boolean }>("GET", `/admin/accounts/${id}`)).chatOnly, true);
  const { token } = await made.newSession();
  const tested = await fetch(`${made.relay.url}/admin/accounts/${id}/test`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: "{}",
  });
  assert.match(await tested.text(), /hello/);
  assert.match((await made.provider.calls()).at(-1)?.target ?? "", /\/chat\/completions$/);
});

test("an Azure account has its version from the address as it is pasted, or said", async (t) => {
  const made = await Console.start(t);
  const page = await made.login("accounts/new?platform=openai&way=apiKey");
  await page.getByRole("textbox", { name: "API key", exact: true }).fill("0123456789abcdef");
  await page.getByRole("textbox", { name: /^Address/ }).fill(`${made.provider.url}/openai/deployments/my-gpt/chat/completions?api-version=2025-04-01-preview`);
  await page.getByRole("textbox", { name: /^API version/ }).waitFor();
  await made.accessible("Azure");
  await page.getByRole("button", { name: "Add and test" }).click();
  await page.getByText(/answers \(/).waitFor();
  const calls = await made.provider.calls();
  assert.equal(calls.at(-1)?.target, "/openai/responses?api-version=2025-04-01-preview");
  assert.match(calls.at(-1)?.body ?? "", /"model":"my-gpt"/);
  const [account] = await accounts(made);
  await made.open(`accounts/${account?.id}`);
  await page.getByRole("button", { name: "Edit" }).first().click();
  const version = page.getByRole("textbox", { name: /^API version/ });
  assert.equal(await version.inputValue(), "2025-04-01-preview");
  await version.fill("2024-10-21");
  await page.getByRole("button", { name: "Look at the changes" }).click();
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByRole("dialog").waitFor({ state: "hidden" });
  assert.equal((await made.api<{ apiVersion: string }>("GET", `/admin/accounts/${account?.id}`)).apiVersion, "2024-10-21");
});

test("a refused account is first in the list; signing in again takes three clicks and a paste", async (t) => {
  const made = await Console.start(t, { settings: SIGN_IN });
  await withKey(made, "works", { shared: false });
  // The provider knows neither of them, and says so when the relay wants to renew.
  const old = { type: "oauth", accessToken: "old-access", refreshToken: "old-refresh", expiresAt: "2026-01-01T00:00:00Z" };
  await made.api("POST", "/admin/accounts", { name: "Zed", platform: "claude", credentials: old, priority: 1 });
  await call(made);
  const page = await made.login("accounts");
  await stayHere(made);
  assert.match(await page.locator("tbody tr").first().innerText(), /Zed[\s\S]*Login refused/);
  made.watch.reset();
  await page.getByRole("link", { name: "Sign in again for Zed" }).click();
  const link = page.getByRole("link", { name: "Open the sign-in page" });
  const address = (await link.getAttribute("href")) ?? "";
  await made.accessible("signing in again");
  await link.click();
  const { code } = await made.provider.allow(address);
  await page.getByLabel("Code or address from that page").fill(code);
  await page.getByRole("button", { name: "Finish" }).click();
  await page.getByText(/answers \(/).waitFor();
  assert.equal(made.watch.clicks, 3);
  await page.getByRole("dialog").getByRole("button", { name: "Close" }).first().click();
  await page.getByText("It takes calls.").waitFor();
  assert.equal(await call(made), 200);
});

test("a limited account says why and until when; reset, pause and undo", async (t) => {
  const made = await Console.start(t);
  const id = await withKey(made, "Team");
  const reset = String(Math.floor(Date.now() / 1000) + 3600);
  await made.provider.answers({
    once: true,
    answer: { status: 429, kind: "rate_limit_error", message: "slow down", headers: { "retry-after": "3600", "anthropic-ratelimit-unified-status": "rejected", "anthropic-ratelimit-unified-reset": reset } },
  });
  await call(made);
  const page = await made.login("accounts?status=limited");
  const row = page.locator("tbody tr").first();
  await row.getByText("Limited").waitFor();
  made.watch.reset();
  await row.getByRole("button", { name: "Reset Team" }).click();
  await page.getByRole("button", { name: "Reset", exact: true }).focus();
  await page.keyboard.press("Enter");
  await page.getByText("Team was reset").first().waitFor();
  assert.equal(made.watch.clicks, 2);
  await page.getByText("Nothing matches").waitFor();

  await page.getByRole("button", { name: "Clear filters" }).first().click();
  made.watch.reset();
  await row.getByRole("button", { name: "Pause" }).click();
  await page.getByText("Team is paused").first().waitFor();
  assert.equal(made.watch.clicks, 1);
  await page.getByRole("button", { name: "Undo" }).click();
  await page.getByText("Team takes calls again").first().waitFor();

  // The detail page: each cooldown, its own words, and a countdown that ticks.
  await made.provider.answers({ once: true, answer: { status: 429, kind: "rate_limit_error", message: "slow down", headers: { "retry-after": "3600" } } });
  await call(made);
  await made.open(`accounts/${id}`);
  await page.getByText(/over a limit of the provider|limits its rate/).first().waitFor();
  await page.getByText("Held back").waitFor();
  await made.accessible("a limited account");
  await page.getByText("hello").waitFor({ state: "detached" });
});

test("many accounts change with four clicks, and what fails stays ticked", async (t) => {
  const made = await Console.start(t);
  for (const name of ["one", "two"]) await withKey(made, name);
  await made.api("POST", "/admin/accounts", { name: "zother", platform: "openai", credentials: { type: "apiKey", apiKey: "sk-o" } });
  const group = await made.api<{ id: string }>("POST", "/admin/account-groups", { name: "Claude team", platform: "claude" });
  const page = await made.login("accounts?sort=name");
  made.watch.reset();
  await page.getByRole("button", { name: "Change many" }).click();
  await page.getByRole("button", { name: "Look at 3" }).click();
  await page.getByText("Pause: 3 accounts").waitFor();
  await made.accessible("a batch before it runs");
  assert.ok((await accounts(made)).every((one) => one.schedulable), "the look changed something");
  await page.getByRole("button", { name: "Change 3", exact: true }).click();
  await page.getByText("3 done, 0 failed").waitFor();
  await page.getByRole("dialog").getByRole("button", { name: "Close" }).first().click();
  assert.equal(made.watch.clicks, 4);
  assert.ok((await accounts(made)).every((one) => !one.schedulable));

  await page.getByLabel("Tick all on this page").check();
  await page.getByRole("button", { name: "Change 3 ticked" }).click();
  await page.getByLabel("What", { exact: true }).selectOption("groups");
  await page.getByLabel("Claude team").check();
  await page.getByRole("button", { name: "Look at 3" }).click();
  await page.getByText("names a group of the platform claude").waitFor();
  await page.getByRole("button", { name: "Change 2", exact: true }).click();
  await page.getByText("2 done, 0 failed").waitFor();
  assert.deepEqual((await accounts(made)).map((one) => one.groups), [[group.id], [group.id], []]);
});

test("an account is changed with its changes shown first, and deleted by its name", async (t) => {
  const made = await Console.start(t);
  const id = await withKey(made, "Old name");
  await made.api("POST", "/admin/api-keys", { name: "Bound key", bindings: { claude: id } });
  const page = await made.login(`accounts/${id}`);
  await page.getByRole("button", { name: "Edit" }).click();
  await page.getByLabel("Name", { exact: true }).fill("New name");
  await page.getByLabel("Priority").fill("3");
  await page.getByLabel("Other names of models").fill("fast = claude-haiku-4-5");
  await page.getByRole("button", { name: "Look at the changes" }).click();
  await page.getByText("This will change").waitFor();
  await made.accessible("changes before they are saved");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("New name is changed").first().waitFor();
  const [changed] = await accounts(made);
  assert.deepEqual([changed?.name, changed?.priority], ["New name", 3]);

  // Other credentials, with a proxy.
  await page.getByRole("button", { name: "More for New name" }).click();
  await page.getByRole("menuitem", { name: "Change key or proxy" }).click();
  await page.getByRole("textbox", { name: "API key", exact: true }).fill("sk-ant-other");
  await page.getByLabel("Proxy", { exact: true }).selectOption("set");
  await page.getByRole("textbox", { name: "Proxy" }).fill("http://ada:secret@127.0.0.1:9");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("New name has new credentials").first().waitFor();
  assert.deepEqual((await accounts(made))[0]?.proxy, { type: "http", host: "127.0.0.1", port: 9, hasLogin: true });

  await page.getByRole("button", { name: "More for New name" }).click();
  await page.getByRole("menuitem", { name: "Delete" }).click();
  await page.getByText("Bound key").waitFor();
  await page.getByLabel("Type New name to confirm").fill("New name");
  await page.keyboard.press("Enter");
  await page.getByText("New name is deleted").first().waitFor();
  await page.getByText("No accounts yet").waitFor();
});

test("the pages of accounts are accessible in both themes, languages and widths", async (t) => {
  const made = await Console.start(t, { settings: SIGN_IN });
  const id = await withKey(made, `Long ${"name ".repeat(18)}`);
  await call(made);
  // Each theme with each language, and each of them at both widths.
  for (const theme of THEMES) {
    for (const language of LANGUAGES) {
      const width = WIDTHS[(theme === "light") === (language === "en") ? 0 : 1] ?? 1280;
      await made.look({ theme, language, width });
      await made.login("accounts");
      await made.accessible(`accounts ${theme} ${language} ${width}`);
      for (const path of [`accounts/${id}`, "accounts/new", "accounts/new?way=signIn", "accounts/new?way=file", "accounts/new?way=tokens", "accounts/new?way=accessKeys", "accounts/new?way=serviceAccount", "accounts/new?platform=openai&way=entraApp"]) {
        await made.open(path);
        await made.settled();
        await made.accessible(`${path} ${theme} ${language} ${width}`);
      }
    }
  }
});
