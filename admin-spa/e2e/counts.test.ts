// What a page asks of the API does not grow with what there is: nothing is fetched for each row. And what nobody sees
// asks nothing.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { Page } from "playwright-core";

import { Console, closeBrowser } from "./support/console.ts";
import { fill } from "./support/many.ts";
import { PAGES, addresses } from "./support/pages.ts";

after(closeBrowser);

/** What the pages of a window ask for from now on: method and path, with ids left out, in the order of their names. */
function asked(page: Page): { take(): string[] } {
  let requests: string[] = [];
  page.on("request", (request) => {
    const { pathname } = new URL(request.url());
    if (!pathname.startsWith("/admin-next/")) requests.push(`${request.method()} ${pathname.replaceAll(/[0-9a-f-]{36}|req_\w+/g, "<id>")}`);
  });
  return {
    take() {
      const taken = requests.sort();
      requests = [];
      return taken;
    },
  };
}

test("no page asks more with more rows", async (t) => {
  const made = await Console.start(t);
  const few = { keys: 3, accounts: 3, calls: 6 };
  const { keys, accounts } = await fill(made, few);
  // Names of accounts are shown beside keys.
  const bind = (ids: string[]) => made.api("POST", "/admin/api-keys/batch", { ids, change: { bindings: { claude: accounts[0] } } });
  await bind(keys);
  const { items } = await made.api<{ items: { requestId: string }[] }>("GET", "/admin/requests");
  const details = addresses({ accounts: accounts[0], "api-keys": keys[0], requests: items[0]?.requestId });
  // Lists also with as many rows as they can have.
  const full = PAGES.filter(({ isPublic }) => !isPublic).map(({ path }) => `${path}?pageSize=100`);
  const paths = [...details.filter(({ isPublic }) => !isPublic).map(({ path }) => path), ...full];
  const requests = asked(await made.login());
  const visit = async () => {
    const counts: Record<string, string[]> = {};
    for (const path of paths) {
      requests.take();
      await made.open(path);
      await made.settled();
      counts[path] = requests.take();
      assert.ok(counts[path].length > 0, `${path} asks nothing`);
    }
    return counts;
  };
  const before = await visit();
  const more = await fill(made, { keys: 57, accounts: 57, calls: 114 }, few);
  await bind(more.keys);
  const rows = async (path: string) => {
    await made.open(path);
    await made.settled();
    return made.page.locator("main tbody tr").count();
  };
  for (const path of ["api-keys", "accounts", "requests"]) assert.ok((await rows(`${path}?pageSize=100`)) >= 60, `${path} shows few rows`);
  assert.deepEqual(await visit(), before);
});

test("no page asks while it is hidden", async (t) => {
  const made = await Console.start(t);
  const amounts = { keys: 3, accounts: 3, calls: 3 };
  const { keys, accounts } = await fill(made, amounts);
  const { items } = await made.api<{ items: { requestId: string }[] }>("GET", "/admin/requests");
  await made.page.clock.install();
  const page = await made.login();
  const requests = asked(page);
  for (const { path, isPublic } of addresses({ accounts: accounts[0], "api-keys": keys[0], requests: items[0]?.requestId })) {
    if (isPublic) continue;
    await made.open(path);
    await made.settled();
    await page.evaluate(() => {
      Object.defineProperty(document, "hidden", { configurable: true, get: () => true });
      Object.defineProperty(document, "visibilityState", { configurable: true, get: () => "hidden" });
      document.dispatchEvent(new Event("visibilitychange"));
    });
    requests.take();
    for (let minute = 0; minute < 3; minute += 1) await page.clock.fastForward(60_000);
    await made.settled();
    assert.deepEqual(requests.take(), [], `${path} asks while it is hidden`);
  }
});
