// The pages of the console, for what has to hold on each of them. They are found as the console finds them: by the
// `route.ts` of each folder. So a new page is in every such test without a word said here.

import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";

export interface PageOfConsole {
  /** Below `/admin-next/`. Of a page about one thing it has a parameter, such as `api-keys/:id`. */
  path: string;
  /** Of `src/pages`. */
  folder: string;
  /** For everybody, without a login. */
  isPublic: boolean;
}

const root = path.join(import.meta.dirname, "../../src/pages");

/** Every page that registers itself, those with a parameter included. */
export const ROUTES: PageOfConsole[] = readdirSync(root, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name)
  .sort()
  .flatMap((folder) => {
    let source: string;
    try {
      source = readFileSync(path.join(root, folder, "route.ts"), "utf8");
    } catch {
      return [];
    }
    const isPublic = /\bbare:\s*true\b/.test(source);
    const paths = [...source.matchAll(/\bpath:\s*(['"`])(.+?)\1/g)].map((match) => match[2] ?? "");
    if (paths.length === 0) throw new Error(`src/pages/${folder}/route.ts names no path that this file can read`);
    return paths.map((path) => ({ path, folder, isPublic }));
  });

/** Those that open without naming a thing. */
export const PAGES = ROUTES.filter(({ path }) => !path.includes(":"));

/** Where a login leads when no page was asked for; as `startPath` of src/app/router.ts. */
export const START = (PAGES.find(({ path }) => path === "dashboard") ?? PAGES.find(({ isPublic }) => !isPublic))?.path;

/**
 * The addresses of all pages. `things`: by the first part of a path, the id that its parameter stands for, or a list.
 * A page about a kind of thing that is not named fails, so that it is not left out unseen.
 */
export function addresses(things: Record<string, string | undefined>): PageOfConsole[] {
  return ROUTES.map((page) => {
    const noun = page.path.split("/")[0] ?? "";
    const address = page.path.replace(/:\w+/, () => {
      const id = things[noun];
      if (id === undefined) throw new Error(`${page.path}: say in the test which of ${noun} to show`);
      return encodeURIComponent(id);
    });
    return { ...page, path: address };
  });
}
