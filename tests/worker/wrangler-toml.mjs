// What Miniflare has to know of wrangler.toml, which stays the one place where it is said.
//
// Reads the small part of TOML that the file uses (tables, arrays of tables, strings, booleans, arrays of strings)
// and throws at anything else, so that nothing is misread in silence.

import { readFileSync } from "node:fs";

/** {name, compatibilityDate, compatibilityFlags, durableObjects, assets} as Miniflare takes them. */
export function wranglerToml(file) {
  const toml = parse(readFileSync(file, "utf8"), file);
  const sqlite = new Set((toml.migrations ?? []).flatMap((migration) => migration.new_sqlite_classes ?? []));
  const objects = (toml.durable_objects?.bindings ?? []).map(({ name, class_name: className }) => [
    name,
    { className, useSQLite: sqlite.has(className) },
  ]);
  return {
    name: toml.name,
    compatibilityDate: toml.compatibility_date,
    compatibilityFlags: toml.compatibility_flags ?? [],
    durableObjects: Object.fromEntries(objects),
    assets: toml.assets,
  };
}

function parse(text, file) {
  const root = {};
  let table = root;
  text.split("\n").forEach((raw, index) => {
    const line = withoutComment(raw).trim();
    let found;
    if (line === "") return;
    if ((found = /^\[\[([\w.-]+)\]\]$/.exec(line))) {
      const { parent, last } = reach(root, found[1]);
      parent[last] ??= [];
      parent[last].push((table = {}));
    } else if ((found = /^\[([\w.-]+)\]$/.exec(line))) {
      const { parent, last } = reach(root, found[1]);
      table = parent[last] ??= {};
    } else if ((found = /^([\w-]+)\s*=\s*(.+)$/.exec(line))) {
      table[found[1]] = value(found[2], `${file}:${index + 1}`);
    } else {
      throw new Error(`${file}:${index + 1}: tests/worker/wrangler-toml.mjs cannot read this line: ${line}`);
    }
  });
  return root;
}

function reach(root, name) {
  const parts = name.split(".");
  const last = parts.pop();
  return { parent: parts.reduce((at, part) => (at[part] ??= {}), root), last };
}

function withoutComment(line) {
  let quoted = false;
  for (let at = 0; at < line.length; at++) {
    if (line[at] === '"' && line[at - 1] !== "\\") quoted = !quoted;
    else if (line[at] === "#" && !quoted) return line.slice(0, at);
  }
  return line;
}

// Strings, booleans, numbers and arrays of them look the same in JSON.
function value(text, where) {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(`${where}: tests/worker/wrangler-toml.mjs cannot read this value: ${text}`);
  }
}
