// What surrounds every page: addresses, old and new.

import { after, test } from "node:test";

import { Console, closeBrowser } from "./support/console.ts";
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
  const { accounts, keys } = await seed(made);
  for (const [old, path, query] of [
    [`api-keys/${keys[0]?.id}/usage-records`, "requests", `keyId=${keys[0]?.id}`],
    [`accounts/${accounts[0]}/usage-records`, "requests", `accountId=${accounts[0]}`],
  ]) {
    await made.open(old ?? "");
    await made.page.waitForURL((url) => url.pathname === `/admin-next/${path}` && url.search.includes(query ?? ""));
  }
});
