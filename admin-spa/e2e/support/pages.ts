// The pages of the console, for what has to hold on each of them.

import { existsSync } from "node:fs";
import path from "node:path";

export interface PageOfConsole {
  /** Below `/admin-next/`. */
  path: string;
  /** Of `src/pages`. */
  folder: string;
  /** For everybody, without a login. */
  isPublic?: boolean;
}

const ALL: PageOfConsole[] = [
  { path: "login", folder: "login", isPublic: true },
  { path: "api-stats", folder: "api-stats", isPublic: true },
  { path: "tutorial", folder: "tutorial", isPublic: true },
  { path: "dashboard", folder: "dashboard" },
  { path: "accounts", folder: "accounts" },
  { path: "accounts/new", folder: "accounts" },
  { path: "api-keys", folder: "api-keys" },
  { path: "requests", folder: "requests" },
  { path: "usage", folder: "usage" },
  { path: "settings", folder: "settings" },
  { path: "audit", folder: "audit" },
];

/** Those that there are: a page registers itself by `src/pages/<folder>/route.ts`. */
export const PAGES = ALL.filter(({ folder }) =>
  existsSync(path.join(import.meta.dirname, "../../src/pages", folder, "route.ts")),
);

/** Where a login leads when no page was asked for. */
export const START = (PAGES.find(({ path }) => path === "dashboard") ?? PAGES.find(({ isPublic }) => !isPublic))?.path;
