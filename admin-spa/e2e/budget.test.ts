// What a browser has to load, gzipped JavaScript and style sheets: the bounds of the console.

import assert from "node:assert/strict";
import { readdirSync, statSync } from "node:fs";
import path from "node:path";
import { after, test } from "node:test";

import { Console, closeBrowser } from "./support/console.ts";
import { PAGES } from "./support/pages.ts";

after(closeBrowser);

const KB = 1000;
/** Bytes of a page that needs no login, loaded alone. */
const PUBLIC = 110 * KB;
/** Of any other page, loaded alone. */
const COLD = 200 * KB;
/** What one more page adds. */
const FURTHER = 40 * KB;
const EVERYTHING = 600 * KB;

const embedded = path.join(import.meta.dirname, "../embedded");

/** Gzipped sizes of all scripts and style sheets by their path below `/admin-next/`. */
const sizes = new Map(
  readdirSync(embedded, { recursive: true, encoding: "utf8" })
    .map((file) => file.split(path.sep).join("/"))
    .filter((file) => /\.(js|css)\.gz$/.test(file))
    .map((file) => [file.slice(0, -".gz".length), statSync(path.join(embedded, file)).size]),
);

/** Collects what the pages of a console ask for. */
function collect(made: Console): Set<string> {
  const files = new Set<string>();
  made.page.on("request", (request) => {
    const file = new URL(request.url()).pathname.slice("/admin-next/".length);
    if (sizes.has(file)) files.add(file);
  });
  return files;
}

const sum = (files: Iterable<string>) => [...files].reduce((total, file) => total + (sizes.get(file) ?? 0), 0);

function within(what: string, files: Set<string>, bound: number): void {
  const list = [...files].map((file) => `${file} ${sizes.get(file)}`).join(", ");
  console.log(`${what}: ${(sum(files) / KB).toFixed(1)} KB of ${bound / KB}`);
  assert.ok(sum(files) <= bound, `${what} loads ${sum(files)} bytes of at most ${bound}: ${list}`);
}

test("the whole console is small", () => {
  assert.ok(sizes.size > 0, "the console was not built");
  within("everything", new Set(sizes.keys()), EVERYTHING);
});

test("each page is small by itself", async (t) => {
  const made = await Console.start(t);
  for (const { path, isPublic } of PAGES) {
    // A new context has an empty cache.
    await made.look();
    if (!isPublic) {
      await made.login();
      const storage = await made.page.evaluate(() => JSON.stringify(sessionStorage));
      await made.look();
      await made.context.addInitScript((stored) => {
        for (const [name, value] of Object.entries(JSON.parse(stored) as Record<string, string>)) {
          sessionStorage.setItem(name, value);
        }
      }, storage);
    }
    const files = collect(made);
    await made.open(path);
    await made.page.waitForLoadState("networkidle");
    if (path === "api-stats") {
      // With what a holder comes for.
      const { key } = await made.api<{ key: string }>("POST", "/admin/api-keys", { name: "Ada" });
      await made.page.locator("input[type=password]").fill(key);
      await made.page.keyboard.press("Enter");
      await made.page.getByRole("img").waitFor();
      await made.page.waitForLoadState("networkidle");
    }
    assert.ok(made.page.url().includes(path), `${path} led to ${made.page.url()}`);
    within(path, files, isPublic ? PUBLIC : COLD);
  }
});

test("one more page adds little", async (t) => {
  const made = await Console.start(t);
  const files = collect(made);
  await made.login();
  for (const { path } of PAGES.filter(({ isPublic }) => !isPublic)) {
    const before = new Set(files);
    await made.open(path);
    await made.page.waitForLoadState("networkidle");
    within(`further: ${path}`, new Set([...files].filter((file) => !before.has(file))), FURTHER);
  }
});
