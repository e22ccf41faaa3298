// The page for holders of keys: what is left and why calls are refused, without a login, on a phone first.

import assert from "node:assert/strict";
import { after, test } from "node:test";

import { Console, LANGUAGES, THEMES, WIDTHS, closeBrowser } from "./support/console.ts";
import { type Seed, seed } from "./support/seed.ts";

after(closeBrowser);

interface Key {
  id: string;
  key: string;
}

const make = (made: Console, fields: Record<string, unknown>) => made.api<Key>("POST", "/admin/api-keys", fields);

/** One call with a key, beside the browser. */
async function call(made: Console, key: string, model = "claude-sonnet-4-5"): Promise<void> {
  const response = await fetch(`${made.relay.url}/api/v1/messages`, {
    method: "POST",
    headers: { "x-api-key": key, "content-type": "application/json", "anthropic-version": "2023-06-01" },
    body: JSON.stringify({ model, max_tokens: 100, messages: [{ role: "user", content: "hi" }] }),
  });
  await response.text();
}

async function look(made: Console, key: string): Promise<void> {
  await made.page.getByLabel("Your key").fill(key);
  await made.page.keyboard.press("Enter");
}

/** What the browser keeps of a page, and where. */
const traces = (made: Console) =>
  made.page.evaluate(() => [location.href, JSON.stringify(localStorage), JSON.stringify(sessionStorage), document.documentElement.outerHTML].join("\n"));

test("a holder sees what is left by one paste and Enter, and by nothing after a reload", async (t) => {
  const made = await Console.start(t);
  const { accounts } = await seed(made);
  const key = await make(made, { name: "Ada's laptop", dailyCostLimit: 10, weeklyCostLimit: 40, monthlyCostLimit: 100, concurrencyLimit: 3 });
  await call(made, key.key);
  await made.recorded(key.id, 1);
  await made.look({ width: 360 });
  const page = await made.open("api-stats");
  made.watch.reset();
  await look(made, key.key);
  await page.getByText("Calls go through").waitFor();
  assert.equal(made.watch.clicks, 1, "Enter alone");
  for (const name of ["Today", "This week", "This month", "Calls at once"]) {
    await page.getByRole("meter", { name, exact: true }).waitFor();
  }
  const first = await page.getByRole("region", { name: "What is left" }).boundingBox();
  assert.ok(first !== null && first.y < 500, "what is left is on the first screen");
  await page.getByRole("region", { name: "By model" }).getByText("claude-sonnet-4-5").waitFor();
  await page.getByRole("img", { name: /Over time/ }).waitFor();
  const text = await page.locator("main").innerText();
  for (const id of accounts) assert.ok(!text.includes(id));
  assert.doesNotMatch(text, /Main|Backup|account/i, "nothing is told of accounts");
  await made.accessible("a key on a phone");
  assert.ok(!(await traces(made)).includes(key.key), "the key left a trace");
  assert.ok(!page.url().includes(key.id));

  made.watch.reset();
  await page.reload();
  await page.getByText("Calls go through").waitFor();
  assert.equal(made.watch.clicks, 0);
  await page.getByRole("button", { name: "Forget everything" }).click();
  await page.getByLabel("Your key").waitFor();
  assert.ok(!(await traces(made)).includes(key.id), "the id left a trace");
  await page.reload();
  await page.getByLabel("Your key").waitFor();
});

test("each key that is refused says why, until when, and what to do", async (t) => {
  const made = await Console.start(t);
  made.watch.allowStatus(401);
  made.watch.allowStatus(400);
  made.watch.allowStatus(403);
  made.watch.allowStatus(404);
  await seed(made);
  const page = await made.open("api-stats");
  const disabled = await make(made, { name: "off", isActive: false });
  const expired = await make(made, { name: "old", expiresAt: "2024-01-01T00:00:00Z" });
  for (const [key, says] of [
    ["cr_0123456789abcdef", "This relay does not know the key"],
    ["short", "This cannot be a key"],
    [disabled.key, "The key is disabled"],
    [expired.key, "The key has expired"],
    ["", "The key is missing"],
  ] as const) {
    await look(made, key);
    await page.getByText(says).waitFor();
    assert.match(await page.getByRole("alert").innerText(), /[Aa]sk the operator|Check that|Paste it/);
  }
  const spent = await make(made, { name: "spent", dailyCostLimit: 0.000001 });
  await call(made, spent.key);
  await made.recorded(spent.id, 1);
  await look(made, spent.key);
  await page.getByText("Calls are refused").waitFor();
  const verdict = page.getByRole("status").filter({ hasText: "Calls are refused" });
  assert.match(await verdict.innerText(), /A limit on spending is reached\.[^]*Until[^]*·/);
  await verdict.getByRole("timer").waitFor();
  await made.accessible("a key that is refused");
  // The operator turns it off while its holder looks.
  await made.api("PATCH", `/admin/api-keys/${spent.id}`, { isActive: false });
  await page.getByRole("button", { name: "Refresh" }).click();
  await page.getByText("The key is disabled").waitFor();
});

test("several keys are pasted at once, summed and compared, and forgotten one by one", async (t) => {
  const made = await Console.start(t);
  await seed(made);
  const keys = [await make(made, { name: "one" }), await make(made, { name: "two" }), await make(made, { name: "three" })];
  for (const { key } of keys) await call(made, key);
  for (const { id } of keys) await made.recorded(id, 1);
  await made.look({ width: 360 });
  const page = await made.open("api-stats");
  await look(made, keys.map(({ key }) => key).join(" "));
  await page.getByRole("region", { name: "Share of this month" }).waitFor();
  for (const name of ["one", "two", "three"]) await page.getByRole("button", { name, exact: true }).waitFor();
  await page.getByText("3 calls").first().waitFor();
  await page.getByRole("region", { name: "By model" }).getByText("3 calls").waitFor();
  await made.accessible("several keys on a phone");
  await page.getByRole("button", { name: "two", exact: true }).click();
  await page.getByText("Calls go through").waitFor();
  await page.getByRole("heading", { name: "two" }).waitFor();
  await page.getByRole("button", { name: "Forget this key" }).click();
  await page.getByRole("button", { name: "three", exact: true }).waitFor();
  assert.equal(await page.getByRole("button", { name: "two", exact: true }).count(), 0);
  // Links of CRS are read.
  await page.getByRole("button", { name: "Forget everything" }).click();
  await made.open(`api-stats?apiId=${keys[1]?.id}`);
  await page.getByRole("heading", { name: "two" }).waitFor();
  await page.getByRole("button", { name: "Forget everything" }).click();
  await page.getByLabel("Your key").waitFor();
  assert.ok(!page.url().includes(keys[1]?.id ?? "?"));
  // The address that CRS had for it.
  const answer = await fetch(`${made.relay.url}/apiStats`, { redirect: "manual" });
  assert.equal(answer.headers.get("location"), "/admin-next/api-stats");
});

test("who asks too often sees a countdown, and it goes on by itself", async (t) => {
  const made = await Console.start(t);
  made.watch.allowStatus(429);
  const key = await make(made, { name: "Ada" });
  const page = await made.open("api-stats");
  for (let status = 0; status !== 429; ) {
    const response = await fetch(`${made.relay.url}/apiStats/api/get-key-id`, { method: "POST", body: '{"apiKey":"cr_0123456789abcdef"}' });
    await response.text();
    status = response.status;
  }
  await look(made, key.key);
  await page.getByRole("alert").getByRole("timer").waitFor();
  assert.match(await page.getByRole("alert").innerText(), /Asked too often.*\d+ s/s);
  await page.getByText("Calls go through").waitFor();
  // All that the page asks is refused: it is said once, and all of it goes on.
  let refused = 0;
  await page.route("**/apiStats/api/**", (route) => (refused++ < 6 ? route.fulfill({ status: 429, headers: { "retry-after": "2" }, contentType: "application/json", body: '{"error":"too_many_requests","message":"x"}' }) : route.continue()));
  await page.reload();
  await page.getByRole("alert").getByRole("timer").waitFor();
  await made.settled();
  assert.equal(await page.getByRole("alert").count(), 1, await page.locator("main").innerText());
  await page.getByText("Calls go through").waitFor();
});

test("a holder tests the key and sets up a client", async (t) => {
  const made = await Console.start(t);
  const { keys }: Seed = await seed(made);
  const key = keys[0]?.key ?? "";
  await made.provider.answers({ answer: { text: "Hello holder" } });
  await made.look({ width: 360 });
  const page = await made.open("api-stats");
  await look(made, key);
  await page.getByText("Test the key").click();
  await page.getByRole("button", { name: "Test now" }).click();
  await page.getByText("It works.").waitFor();
  await page.getByText("Hello holder").waitFor();
  await page.getByText("Set up a client").click();
  await page.getByText(`ANTHROPIC_AUTH_TOKEN=${key}`).first().waitFor();
  await made.accessible("test and set-up");
  // A reload has lost the key itself: the test asks for it.
  await page.reload();
  await page.getByText("Test the key").click();
  await page.getByText("The key itself is not kept").waitFor();
});

test("the page is for everyone, with a key and without", async (t) => {
  const made = await Console.start(t);
  const { keys } = await seed(made);
  for (const theme of THEMES) {
    for (const language of LANGUAGES) {
      for (const width of WIDTHS) {
        await made.look({ theme, language, width });
        await made.open("api-stats");
        await made.page.locator("input[type=password]").waitFor();
        await made.accessible(`no key ${theme} ${language} ${width}`);
        await made.open(`api-stats?apiId=${keys[0]?.id}`);
        await made.page.getByRole("meter").first().waitFor();
        await made.settled();
        await made.accessible(`a key ${theme} ${language} ${width}`);
      }
    }
  }
});
