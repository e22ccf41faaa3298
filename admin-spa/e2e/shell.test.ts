// What surrounds every page: addresses, redirects, and that each page holds in both themes and languages.

import { after, test } from "node:test";

import { Console, LANGUAGES, THEMES, closeBrowser } from "./support/console.ts";
import { PAGES } from "./support/pages.ts";
import { seed } from "./support/seed.ts";

after(closeBrowser);

test("addresses without a page lead to the console", async (t) => {
  const made = await Console.start(t);
  for (const path of ["/", "/admin-next", "/admin-next/"]) {
    await made.page.goto(`${made.origin}${path}`);
    await made.page.waitForURL(/\/admin-next\/login/);
  }
});

test("CRS's addresses lead to their pages", async (t) => {
  const made = await Console.start(t);
  await made.open("admin-login");
  await made.page.waitForURL(/\/admin-next\/login/);
  await made.login();
  for (const [old, path, query] of [
    ["api-keys/key_1/usage-records", "requests", "keyId=key_1"],
    ["accounts/acc_1/usage-records", "requests", "accountId=acc_1"],
  ]) {
    await made.open(old ?? "");
    await made.page.waitForURL((url) => url.pathname === `/admin-next/${path}` && url.search.includes(query ?? ""));
  }
});

test("every page holds with data, in both themes and languages", async (t) => {
  const made = await Console.start(t);
  await seed(made);
  for (const theme of THEMES) {
    for (const language of LANGUAGES) {
      await made.look({ theme, language });
      await made.login();
      for (const { path } of PAGES.filter(({ isPublic }) => !isPublic)) {
        await made.open(path);
        await made.settled();
        await made.accessible(`${path} ${theme} ${language}`);
      }
    }
  }
});

test("every page fits a phone", async (t) => {
  const made = await Console.start(t);
  await seed(made);
  await made.look({ width: 360 });
  await made.login();
  for (const { path } of PAGES) {
    await made.open(path);
    await made.page.waitForLoadState("networkidle");
    await made.accessible(`${path} at 360 px`);
  }
});
