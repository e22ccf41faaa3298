// Every page that registers itself: readable for all, in both themes and languages, on a desk and on a phone, with
// no text that was left raw, and with names that try to be more than names.

import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import path from "node:path";
import { after, test } from "node:test";

import { Console, LANGUAGES, THEMES, WIDTHS, closeBrowser, widest } from "./support/console.ts";
import { addresses, type PageOfConsole } from "./support/pages.ts";
import { seed } from "./support/seed.ts";

after(closeBrowser);

const locales = path.join(import.meta.dirname, "../src/locales/en");
const files = readdirSync(locales).map((file) => file.replace(/\.json$/, ""));
/** A key of the texts that stands where its text should, or a value that nobody made a text of. */
const RAW = new RegExp(
  `(?<![\\w./@-])(?:${files.join("|")})\\.[a-z]+(?:\\.\\w+)*\\b|\\[object |\\bundefined\\b|\\bNaN\\b|\\{[a-z]\\w*\\}|Invalid Date`,
);

/** Everything that a person or a screen reader is told. */
const told = (made: Console) =>
  made.page.evaluate(() => {
    const attributes = ["aria-label", "aria-description", "aria-valuetext", "title", "placeholder", "alt"];
    const said = [...document.querySelectorAll("*")].flatMap((element) => attributes.map((name) => element.getAttribute(name) ?? ""));
    return [document.title, document.body.innerText, ...said.filter(Boolean)].join("\n");
  });

/** A relay with everything that pages are about, and where they are. */
async function everything(made: Console): Promise<PageOfConsole[]> {
  const { accounts, keys } = await seed(made);
  let request: string | undefined;
  for (let wait = 0; request === undefined && wait < 200; wait += 1) {
    const page = await made.api<{ items: { requestId: string }[] }>("GET", "/admin/requests");
    request = page.items[0]?.requestId;
    if (request === undefined) await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return addresses({ accounts: accounts[0], "api-keys": keys[0]?.id, requests: request });
}

async function visit(made: Console, pages: PageOfConsole[], each: (page: PageOfConsole) => Promise<void>): Promise<void> {
  // The public ones as strangers see them: before the login.
  for (const page of pages.filter(({ isPublic }) => isPublic)) {
    await made.open(page.path);
    await made.settled();
    await each(page);
  }
  await made.login();
  for (const page of pages.filter(({ isPublic }) => !isPublic)) {
    await made.open(page.path);
    await made.settled();
    assert.ok(made.page.url().endsWith(page.path), `${page.path} led to ${made.page.url()}`);
    await each(page);
  }
}

/** Does something for each, two at a time: a browser paints each window in a process of its own. */
async function twoAtATime<T>(all: T[], each: (one: T) => Promise<void>): Promise<void> {
  const left = [...all];
  const lane = async () => {
    for (let one = left.shift(); one !== undefined; one = left.shift()) await each(one);
  };
  await Promise.all([lane(), lane()]);
}

test("every page is readable in both languages and themes, on a desk and on a phone", async (t) => {
  const made = await Console.start(t);
  const pages = await everything(made);
  const views = LANGUAGES.flatMap((language) => WIDTHS.map((width) => ({ language, width })));
  await twoAtATime(views, async ({ language, width }) => {
    const window = await made.beside({ language, width });
    await visit(window, pages, async ({ path }) => {
      // A page follows the system's theme while it is open; each is loaded in the one that came last.
      for (const theme of THEMES) {
        const what = `${path} ${theme} ${language} ${width}`;
        await window.page.emulateMedia({ colorScheme: theme });
        await window.page.locator(`html[data-theme=${theme}]`).waitFor();
        // Colours change by transitions, and those begin with the next frame.
        await window.page.evaluate(() => new Promise(requestAnimationFrame));
        await window.accessible(what);
      }
      const raw = RAW.exec(await told(window));
      assert.equal(raw?.[0], undefined, `${path} ${language} ${width}: a raw text`);
      const lang = await window.page.evaluate(() => document.documentElement.lang);
      assert.ok(lang.startsWith(language), `${path} ${language} ${width} is in ${lang}`);
    });
  });
});

/** The longest that the API takes. */
const LONG = 100;
const MARKUP = `<img src=x onerror="window.crsHit=1"><b id=crs-hit>${"x".repeat(40)}`;
const HEBREW = "שלום (עולם) 12-34";
const NAMES = [MARKUP, HEBREW, "W".repeat(LONG), "{{ constructor }} ${crsHit} @:common.copy | {name}"];

test("names do no harm on any page, however they are written", async (t) => {
  const made = await Console.start(t);
  const pages = await everything(made);
  // Marks that reorder or hide what stands around them get nowhere near a page.
  for (const mark of ["\u202e", "\u200f", "\u2066", "\u200b"]) {
    await assert.rejects(made.api("POST", "/admin/api-keys", { name: `a${mark}b` }), /hide or reorder/);
  }
  for (const name of NAMES) {
    const account = await made.api<{ id: string }>("POST", "/admin/accounts", { name, platform: "claude", description: name, credentials: { type: "apiKey", apiKey: "sk-ant-x" } });
    const key = await made.api<{ id: string; key: string }>("POST", "/admin/api-keys", { name, description: name, tags: [name.slice(0, 40)], bindings: { claude: account.id } });
    const response = await fetch(`${made.relay.url}/api/v1/messages`, {
      method: "POST",
      headers: { "x-api-key": key.key, "content-type": "application/json", "anthropic-version": "2023-06-01" },
      body: JSON.stringify({ model: "claude-sonnet-4-5", max_tokens: 10, messages: [{ role: "user", content: "hi" }] }),
    });
    await response.text();
    pages.push(
      ...addresses({ accounts: account.id, "api-keys": key.id, requests: response.headers.get("x-request-id") ?? "" }).filter(({ path }) => path.includes(account.id) || path.includes(key.id) || path.includes("/req_")),
      { path: `api-stats?apiId=${key.id}`, folder: "api-stats", isPublic: true },
    );
  }
  const harm: string[] = [];
  await twoAtATime(WIDTHS, async (width) => {
    const window = await made.beside({ width });
    await visit(window, pages, async ({ path }) => {
      const found = await window.page.evaluate(() => {
        const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
        let loose = "";
        for (let node = walker.nextNode(); node; node = walker.nextNode()) {
          // Hebrew that is not isolated reorders the words around it.
          const isolated = node.parentElement?.closest("bdi, [dir], option, title, .sr-only");
          const outside = (node.textContent ?? "").replaceAll(/\u2068[^\u2069]*\u2069/g, "");
          if (/[\u0590-\u05ff]/.test(outside) && !isolated) loose = node.parentElement?.outerHTML.slice(0, 300) ?? "?";
        }
        const made = document.querySelector("#crs-hit, img[src='x']")?.outerHTML;
        return { loose, made, hit: "crsHit" in window };
      });
      const wide = await window.page.evaluate(widest);
      if (found.loose || found.made || found.hit || wide) harm.push(`${path} ${width}: ${JSON.stringify({ ...found, wide })}`);
    });
  });
  assert.deepEqual(harm, []);
});
