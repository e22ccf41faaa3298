// A picture of each page in each theme, language and width, to be looked at: scripts/test-console screenshots
//
// Arguments are pages to take, such as `accounts login`; none: all. Pictures: admin-spa/screenshots.

import { mkdirSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";

import { Console, LANGUAGES, THEMES, WIDTHS, closeBrowser } from "./support/console.ts";
import { PAGES } from "./support/pages.ts";
import { seed } from "./support/seed.ts";

const folder = path.join(import.meta.dirname, "../screenshots");
const wanted = process.argv.slice(2);

test("screenshots", async (t) => {
  t.after(closeBrowser);
  mkdirSync(folder, { recursive: true });
  const made = await Console.start(t);
  await seed(made);
  for (const theme of THEMES) {
    for (const language of LANGUAGES) {
      for (const width of WIDTHS) {
        await made.look({ theme, language, width });
        // The login is taken before there is one.
        const pages = [...PAGES].sort((a, b) => Number(b.folder === "login") - Number(a.folder === "login"));
        let loggedIn = false;
        for (const page of pages) {
          if (wanted.length > 0 && !wanted.includes(page.folder)) continue;
          if (!page.isPublic && !loggedIn) {
            await made.login();
            loggedIn = true;
          }
          await made.open(page.path);
          await made.settled();
          const name = `${page.path.replaceAll("/", "-")}-${theme}-${language}-${width}.png`;
          await made.page.screenshot({ path: path.join(folder, name), fullPage: true });
        }
      }
    }
  }
});
