// A picture of each page in each theme, language and width, to be looked at: scripts/test-console screenshots
//
// Arguments are pages to take, such as `accounts login`, and `en`, `zh`, `light`, `dark`, `1280`, `360`; none: all.
// Pictures: admin-spa/screenshots. `first-...` are of a relay that nobody has used.

import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";

import { Console, LANGUAGES, THEMES, WIDTHS, closeBrowser } from "./support/console.ts";
import { PAGES, ROUTES } from "./support/pages.ts";
import { type Rich, today, week } from "./support/rich.ts";

const folder = path.join(import.meta.dirname, "../screenshots");
const args = process.argv.slice(2);
const asked = <T extends string | number>(all: T[]): T[] => {
  const some = all.filter((one) => args.includes(String(one)));
  return some.length > 0 ? some : all;
};
const views = [...THEMES, ...LANGUAGES, ...WIDTHS].map(String);
const wanted = args.filter((one) => !views.includes(one));

interface Picture {
  name: string;
  /** Of src/pages. */
  folder: string;
  path: string;
  isPublic?: boolean;
  /** What a person does before the picture. */
  after?: (console: Console) => Promise<void>;
}

const pictures = (rich: Rich): Picture[] => [
  ...PAGES.map((page) => ({ ...page, name: page.path.replaceAll("/", "-") })),
  ...Object.entries({ max: "well", limited: "limited", refused: "refused", throttled: "cooling" }).map(([account, name]) => ({
    name: `accounts-one-${name}`, folder: "accounts", path: `accounts/${rich.accounts[account]}`,
  })),
  ...Object.entries({ ada: "well", over: "over", deleted: "deleted" }).map(([key, name]) => ({
    name: `api-keys-one-${name}`, folder: "api-keys", path: `api-keys/${rich.keys[key]?.id}`,
  })),
  { name: "api-keys-made", folder: "api-keys", path: "api-keys/new", after: async ({ page }) => {
    await page.locator("main input").first().fill("Hand me over");
    await page.keyboard.press("Enter");
    await page.waitForLoadState("networkidle");
  } },
  { name: "requests-errors", folder: "requests", path: "requests?errorsOnly=1" },
  { name: "requests-refused", folder: "requests", path: "requests?tab=refused" },
  { name: "requests-nothing", folder: "requests", path: "requests?model=none-of-these" },
  { name: "requests-one", folder: "requests", path: "requests", after: async ({ page }) => {
    await page.locator("main tbody tr a").first().click();
    await page.waitForLoadState("networkidle");
  } },
  { name: "usage-week", folder: "usage", path: "usage?range=7days" },
  ...["prices", "routes", "sessions", "password", "groups", "about"].map((tab) => ({ name: `settings-${tab}`, folder: "settings", path: `settings?tab=${tab}` })),
  ...["ada", "near", "over", "ended", "off"].map((key) => ({
    name: `api-stats-${key}`, folder: "api-stats", path: "api-stats", isPublic: true, after: async ({ page }: Console) => {
      await page.locator("main input, main textarea").first().fill(rich.keys[key]?.key ?? "");
      await page.keyboard.press("Enter");
      await page.waitForLoadState("networkidle");
    },
  })),
];

async function take(console: Console, all: Picture[], prefix = ""): Promise<void> {
  for (const theme of asked(THEMES)) {
    for (const language of asked(LANGUAGES)) {
      for (const width of asked(WIDTHS)) {
        await console.look({ theme, language, width });
        // Keys that are ended or disabled, calls that are not there any more.
        console.watch.allowStatus(401);
        console.watch.allowStatus(404);
        // Those without a login are taken before there is one.
        const pages = [...all].sort((a, b) => Number(b.isPublic ?? false) - Number(a.isPublic ?? false));
        let loggedIn = false;
        for (const page of pages) {
          if (wanted.length > 0 && !wanted.includes(page.folder) && !wanted.includes(page.name)) continue;
          if (!page.isPublic && !loggedIn) {
            await console.login();
            loggedIn = true;
          }
          if (page.folder === "api-stats") await console.page.evaluate(() => sessionStorage.clear()).catch(() => {});
          await console.open(page.path);
          await console.settled();
          await page.after?.(console);
          // Charts and parts that load late.
          await console.page.waitForTimeout(150);
          await console.settled();
          await console.page.screenshot({ path: path.join(folder, `${prefix}${page.name}-${theme}-${language}-${width}.png`), fullPage: true });
        }
      }
    }
  }
}

test("of a relay that people use", { skip: wanted.includes("first") }, async (t) => {
  t.after(closeBrowser);
  mkdirSync(folder, { recursive: true });
  const home = mkdtempSync(path.join(tmpdir(), "crs-console-"));
  t.after(() => rmSync(home, { recursive: true, force: true }));
  const made: { rich?: Rich } = {};
  const console = await Console.start(t, {
    settings: { TIMEZONE_OFFSET: "8" },
    home: async (provider) => {
      made.rich = await week(home, provider);
      return home;
    },
  });
  if (made.rich === undefined) throw new Error("there is no week before");
  const rich = await today(console, made.rich);
  t.after(() => rich.stop());
  await take(console, pictures(rich));
});

test("of a relay that nobody has used", { skip: wanted.length > 0 && !wanted.includes("first") }, async (t) => {
  t.after(closeBrowser);
  mkdirSync(folder, { recursive: true });
  const console = await Console.start(t);
  const empty = ["dashboard", "accounts", "api-keys", "requests", "usage", "audit"];
  wanted.length = 0;
  await take(console, ROUTES.filter(({ path }) => empty.includes(path)).map((page) => ({ ...page, name: page.path })), "first-");
});
