// The console at an origin of its own, as on Cloudflare Pages, with the Worker as its API; and from the Worker itself.

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import assert from "node:assert/strict";

import { Console, closeBrowser } from "./support/console.ts";
import { startSite, startWorker } from "./support/servers.ts";

after(closeBrowser);

test("a console at another origin works with a Worker that knows its origin", async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), "crs-pages-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const site = await startSite(folder);
  const made = await Console.start(t, {
    relay: (provider) => startWorker(provider, { CONSOLE_ORIGIN: site.url }),
    site,
    ready: (relay) => {
      const pack = path.join(import.meta.dirname, "../scripts/pack.mjs");
      execFileSync(process.execPath, [pack, relay.url, folder]);
    },
  });
  await made.api("POST", "/admin/api-keys", { name: "Ada's laptop" });
  await made.login("api-keys");
  assert.equal(new URL(made.page.url()).origin, site.url);
  await made.page.getByRole("link", { name: "Ada's laptop" }).waitFor();
  // A key's holder as well: the page is there, the API here.
  const { key } = await made.api<{ key: string }>("POST", "/admin/api-keys", { name: "Holder", dailyCostLimit: 5 });
  await made.open("api-stats");
  await made.page.locator("input[type=password]").fill(key);
  await made.page.keyboard.press("Enter");
  await made.page.getByText("Calls go through").waitFor();
  // Whoever asks from elsewhere is told nothing: the relay names the console's origin alone.
  const stranger = await fetch(`${made.relay.url}/admin/api-keys`, { headers: { origin: "http://evil.example" } });
  assert.notEqual(stranger.headers.get("access-control-allow-origin"), "http://evil.example");
  assert.deepEqual(await made.context.cookies(), []);
});

test("the Worker serves the console itself", async (t) => {
  const made = await Console.start(t, { relay: (provider) => startWorker(provider) });
  await made.login("accounts");
  assert.equal(new URL(made.page.url()).origin, made.relay.url);
  // It has no files, so the page says how backups are made from elsewhere.
  await made.open("settings?tab=backups");
  await made.page.getByText("scripts/crs backup crs.backup --seal").waitFor();
  await made.accessible("backups of a Worker");
});
