// Settings: prices, branding, sessions, the password, groups.

import assert from "node:assert/strict";
import { after, test } from "node:test";

import { Console, LANGUAGES, THEMES, closeBrowser } from "./support/console.ts";
import { seed } from "./support/seed.ts";

after(closeBrowser);

const TABS = ["branding", "prices", "routes", "sessions", "password", "groups", "backups", "about"];

/** Clicks the first one of this name. */
const clicker = (made: Console) => (role: "button" | "tab", name: string) =>
  made.page.getByRole(role, { name, exact: true }).first().click();

interface Prices {
  overrides: Record<string, Record<string, number>>;
}

test("a guessed price is set with three clicks, and a wrong one marks its cell", async (t) => {
  const made = await Console.start(t);
  const { keys } = await seed(made);
  await fetch(`${made.relay.url}/api/v1/messages`, {
    method: "POST",
    headers: { "x-api-key": keys[0]?.key ?? "", "content-type": "application/json", "anthropic-version": "2023-06-01" },
    body: JSON.stringify({ model: "claude-next-9", max_tokens: 10, messages: [{ role: "user", content: "hi" }] }),
  }).then((response) => response.text());
  await made.login("settings?tab=prices");
  const { page } = made;
  const click = clicker(made);
  made.watch.reset();
  // Guesses come first.
  const first = page.getByRole("row").nth(1);
  await first.getByText("claude-next-9").waitFor();
  await first.getByText("Guess").waitFor();

  await click("button", "Set a price for claude-next-9");
  await page.getByLabel("Input of claude-next-9").fill("much");
  await click("button", "Look at the changes");
  await page.getByText("A number from 0 to 1000000, six decimals at most").waitFor();
  assert.equal(await page.getByLabel("Input of claude-next-9").getAttribute("aria-invalid"), "true");
  await made.accessible("a wrong price");

  await page.getByLabel("Input of claude-next-9").fill("3.5");
  await click("button", "Look at the changes");
  await page.getByRole("dialog").getByText("$3.50").waitFor();
  await made.accessible("the review of prices");
  await click("button", "Save");
  await page.getByText("Prices are saved").first().waitFor();
  // One of them was the look at the wrong one.
  assert.equal(made.watch.clicks, 4);
  const { overrides } = await made.api<Prices>("GET", "/admin/prices");
  assert.equal(overrides["claude-next-9"]?.["input"], 3.5);

  // Taken away again.
  await click("button", "No price of your own for claude-next-9");
  await click("button", "Look at the changes");
  await page.getByText("No price of your own any more").waitFor();
  await click("button", "Save");
  await page.getByRole("dialog").waitFor({ state: "hidden" });
  assert.deepEqual((await made.api<Prices>("GET", "/admin/prices")).overrides, {});
});

test("a model route is written as a line, a wrong one is shown, and the call goes where it says", async (t) => {
  const made = await Console.start(t);
  const { keys } = await seed(made);
  await made.api("POST", "/admin/accounts", {
    name: "OpenAI",
    platform: "openai",
    credentials: { type: "apiKey", apiKey: "sk-openai" },
  });
  const page = await made.login("settings?tab=routes");
  const click = clicker(made);
  const lines = page.getByRole("textbox", { name: "Model routes" });
  await lines.fill("claude-sonnet-* -> gpt");
  await page.getByText("Each line is MODELS = PLATFORM/MODEL").waitFor();
  assert.equal(await lines.getAttribute("aria-invalid"), "true");
  await made.accessible("a wrong model route");
  await lines.fill("claude-sonnet-* = openai/gpt-5.4, claude");
  await click("button", "Save");
  await page.getByText("Model routes are saved").first().waitFor();
  await page.reload();
  await page.getByRole("textbox", { name: "Model routes" }).waitFor();
  assert.equal(await lines.inputValue(), "claude-sonnet-* = openai/gpt-5.4, claude");

  const response = await fetch(`${made.relay.url}/api/v1/messages`, {
    method: "POST",
    headers: { "x-api-key": keys[0]?.key ?? "", "content-type": "application/json", "anthropic-version": "2023-06-01" },
    body: JSON.stringify({ model: "claude-sonnet-4-5", max_tokens: 10, messages: [{ role: "user", content: "hi" }] }),
  });
  await response.text();
  assert.equal(response.headers.get("x-relay-route")?.split(",")[0]?.startsWith("openai/gpt-5.4"), true);
});

test("what is not saved is not lost by a click on another tab", async (t) => {
  const made = await Console.start(t);
  const page = await made.login("settings");
  const click = clicker(made);
  made.watch.reset();
  await page.getByLabel("Site name").fill("Our relay");
  await click("tab", "About");
  await click("button", "Stay");
  assert.equal(await page.getByLabel("Site name").inputValue(), "Our relay");
  made.watch.reset();
  const picture = Buffer.from(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
    "base64",
  );
  const choose = page.locator("input[type=file]");
  await choose.setInputFiles({ name: "icon.gif", mimeType: "image/gif", buffer: Buffer.from("GIF89a") });
  await page.getByText("This is no PNG, JPEG, SVG or ICO.").waitFor();
  await choose.setInputFiles({ name: "icon.png", mimeType: "image/png", buffer: picture });
  await page.getByRole("img", { name: "Icon" }).waitFor();
  await click("button", "Save");
  await page.getByText("Branding is saved").first().waitFor();
  assert.equal(made.watch.clicks, 1);
  const site = await made.api<{ siteName: string; siteIconData: string }>("GET", "/admin/oem-settings");
  assert.equal(site.siteName, "Our relay");
  assert.match(site.siteIconData, /^data:image\/png;base64,/);
  await page.waitForFunction(() => document.title.endsWith("Our relay"));
});

test("another session is ended with two clicks and stops at once", async (t) => {
  const made = await Console.start(t);
  // The one of `api` is the other.
  await made.api("GET", "/admin/settings");
  const page = await made.loginByHand("settings");
  const click = clicker(made);
  made.watch.reset();
  await click("tab", "Sessions");
  await page.getByText("This one").waitFor();
  await click("button", "End");
  await page.getByText("The session has ended").first().waitFor();
  assert.equal(made.watch.clicks, 2);
  await assert.rejects(made.api("GET", "/admin/settings"), /401/);
  await page.getByText("You are logged in nowhere else.").waitFor();
  await made.accessible("sessions");
  // One's own goes on.
  await page.reload();
  await page.getByText("This one").waitFor();
  await click("button", "Log out everywhere");
  await page.getByRole("dialog").getByRole("button", { name: "Log out everywhere" }).click();
  await page.waitForURL(/\/admin-next\/login/);
});

test("a new password ends the others and not this one", async (t) => {
  const made = await Console.start(t);
  await made.api("GET", "/admin/settings");
  const page = await made.login("settings?tab=password");
  const click = clicker(made);
  made.watch.reset();
  made.watch.allowStatus(401);
  await page.getByLabel("Current password").fill("not this one");
  await page.getByLabel("New password", { exact: true }).fill("a brand new battery staple");
  await page.getByLabel("New password, once more").fill("a brand new battery");
  await click("button", "Change the password");
  await page.getByText("The two are not the same.").waitFor();
  await page.getByLabel("New password, once more").fill("a brand new battery staple");
  await click("button", "Change the password");
  await page.getByText("This is not the current password.").waitFor();
  await made.accessible("a wrong password");
  made.watch.reset();
  await page.getByLabel("Current password").fill(made.relay.password);
  await click("button", "Change the password");
  await page.getByText("The password is changed").first().waitFor();
  assert.equal(made.watch.clicks, 1);
  await assert.rejects(made.api("GET", "/admin/settings"), /401/);
  await click("tab", "Sessions");
  await page.getByText("You are logged in nowhere else.").waitFor();
});

test("groups are made, changed and deleted", async (t) => {
  const made = await Console.start(t);
  const page = await made.login("settings?tab=groups");
  const click = clicker(made);
  made.watch.reset();
  await click("button", "New group");
  await page.getByLabel("Name", { exact: true }).fill("Team");
  await page.keyboard.press("Enter");
  await page.getByRole("cell", { name: "Team", exact: true }).waitFor();
  assert.equal(made.watch.clicks, 2);
  await click("button", "Edit Team");
  await page.getByLabel("Description").fill("those of the office");
  await click("button", "Save");
  await page.getByText("those of the office").waitFor();
  await click("button", "Delete Team");
  await page.getByLabel("Type Team to confirm").fill("Team");
  await click("button", "Delete the group");
  await page.getByText("No groups yet").waitFor();
});

test("every tab can be used by everybody, in each theme, language and width", async (t) => {
  const made = await Console.start(t, { settings: { PUBLIC_ADDRESS: "https://relay.example.com" } });
  await seed(made);
  await made.api("POST", "/admin/account-groups", { name: `Group ${"x".repeat(80)}`, platform: "claude" });
  for (const [theme, language, width] of [
    ...THEMES.flatMap((theme) => LANGUAGES.map((language) => [theme, language, 1280] as const)),
    ["light", "en", 360] as const,
    ["dark", "zh", 360] as const,
  ]) {
    await made.look({ theme, language, width });
    await made.login("settings");
    for (const tab of TABS) {
      await made.open(`settings?tab=${tab}`);
      await made.settled();
      await made.accessible(`${tab} ${theme} ${language} ${width}`);
      // The pictures of scripts/test-console screenshots show the first tab only.
      if (process.env.CRS_PICTURES) await made.page.screenshot({ path: `screenshots/settings-${tab}-${theme}-${language}-${width}.png` });
    }
  }
});

test("a backup is made, downloaded and deleted, and a schedule is set", async (t) => {
  const made = await Console.start(t);
  // A weak passphrase and a schedule of zero hours.
  made.watch.allowStatus(422);
  const page = await made.login("settings?tab=backups");
  const click = clicker(made);
  await page.getByText("No backups yet").waitFor();
  // The backup of an empty store is often complete before the page looks: for two looks it still runs.
  let looks = 0;
  await page.route("**/admin/backups", async (route) => {
    if (route.request().method() !== "GET" || looks++ > 1) return route.fallback();
    const answer = await (await route.fetch()).json();
    Object.assign(answer, { files: [], runningSince: new Date().toISOString() });
    await route.fulfill({ json: answer });
  });
  await click("button", "Back up now");
  const row = page.getByRole("row").filter({ hasText: "By hand" });
  await row.waitFor();
  assert.ok(looks > 2, "it was looked at until it was complete");
  await made.accessible("a backup");
  const [file] = await Promise.all([page.waitForEvent("download"), row.getByRole("button", { name: /^Download / }).click()]);
  assert.match(file.suggestedFilename(), /^crs-.*-manual\.backup$/);

  await click("button", "Download a backup");
  await page.getByLabel("Passphrase").fill("password");
  await page.getByRole("dialog").getByRole("button", { name: "Download a backup" }).click();
  await page.getByText("the passphrase is easy to guess").waitFor();
  await page.getByLabel("Passphrase").fill("correct horse battery staple");
  const [sealed] = await Promise.all([page.waitForEvent("download"), page.getByRole("dialog").getByRole("button", { name: "Download a backup" }).click()]);
  assert.equal(sealed.suggestedFilename(), "crs.backup");

  await click("button", "Schedule");
  await page.getByLabel("Make backups by the schedule").click();
  await page.getByLabel("Hours between them").fill("0");
  await click("button", "Save");
  await page.getByText("must be from 1 to 744").waitFor();
  await page.getByLabel("Hours between them").fill("6");
  await click("button", "Save");
  await page.getByText("Every 6 h, 7 are kept.").waitFor();

  await row.getByRole("button", { name: /^Delete / }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete it" }).click();
  await page.getByText("No backups yet").waitFor();
});
