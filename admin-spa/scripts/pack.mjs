// Makes of `dist/` what hosts serve; called by scripts/build-console.
//
// `node pack.mjs` makes
//   embedded/  each file compressed with brotli and gzip, for the native binary (build.rs)
//   site/      the files below admin-next/ and the API's description, with `_headers` and `_redirects`, for the Worker's
//              static assets
// `node pack.mjs ORIGIN FOLDER` makes such a site in FOLDER, for a console that is served from another origin than its
// API at ORIGIN: Cloudflare Pages, and tests.

import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import zlib from "node:zlib";

const root = path.join(import.meta.dirname, "..");
const dist = path.join(root, "dist");
const [api = "", elsewhere] = process.argv.slice(2);
if (api !== "" && new URL(api).origin !== api) throw new Error(`this is no origin: ${api}`);

// Hidden files are Vite's own, such as .vite/manifest.json. Maps are for developers.
const files = readdirSync(dist, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => path.relative(dist, path.join(entry.parentPath, entry.name)).split(path.sep).join("/"))
  .filter((file) => !file.split("/").some((part) => part.startsWith(".")) && !file.endsWith(".map"))
  .sort();
if (!files.includes("index.html")) throw new Error(`there is no index.html in ${dist}`);

if (api === "") {
  embed();
  site(path.join(root, "site"));
} else {
  site(elsewhere);
}

function embed() {
  const folder = path.join(root, "embedded");
  mkdirSync(folder, { recursive: true });
  const kept = new Set(files.flatMap((file) => [`${file}.br`, `${file}.gz`]));
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const file = path.relative(folder, path.join(entry.parentPath, entry.name)).split(path.sep).join("/");
    if (entry.isFile() && file !== ".gitignore" && !kept.has(file)) rmSync(path.join(folder, file));
  }
  // A file that stays as it is keeps its time, or cargo would build the binary again.
  const write = (file, content) => {
    if (!existsSync(file) || !readFileSync(file).equals(content)) writeFileSync(file, content);
  };
  for (const file of files) {
    const content = readFileSync(path.join(dist, file));
    const target = path.join(folder, file);
    mkdirSync(path.dirname(target), { recursive: true });
    const params = {
      [zlib.constants.BROTLI_PARAM_QUALITY]: 11,
      [zlib.constants.BROTLI_PARAM_SIZE_HINT]: content.length,
    };
    write(`${target}.br`, zlib.brotliCompressSync(content, { params }));
    write(`${target}.gz`, zlib.gzipSync(content, { level: 9 }));
  }
}

function site(folder) {
  rmSync(folder, { recursive: true, force: true });
  for (const file of files) cpSync(path.join(dist, file), path.join(folder, "admin-next", file));
  if (api === "") {
    cpSync(path.join(root, "../assets/openapi.json"), path.join(folder, "openapi.json"));
  } else {
    const page = path.join(folder, "admin-next/index.html");
    const html = readFileSync(page, "utf8");
    const meta = /<meta name="crs-api" content="[^"]*"\s*\/?>/;
    if (!meta.test(html)) throw new Error('index.html has no <meta name="crs-api" content="">');
    writeFileSync(page, html.replace(meta, `<meta name="crs-api" content="${api}">`));
  }
  const single = files.filter((file) => !file.includes("/") && file !== "index.html");
  writeFileSync(path.join(folder, "_headers"), headers(single));
  writeFileSync(path.join(folder, "_redirects"), redirects(single));
}

/** The headers that src/http/console/embedded.rs sets; tests/it/console.rs compares the two. */
function headers(single) {
  const policy = [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    `connect-src 'self'${api && ` ${api}`}`,
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types vue",
  ];
  const rule = (pattern, lines) => [pattern, ...lines.map((line) => `  ${line}`)].join("\n");
  // A header that two rules set is sent with both values: `!` takes the first away.
  const keep = (how) => ["! Cache-Control", `Cache-Control: ${how}`];
  return `${[
    rule("/admin-next/*", [
      `Content-Security-Policy: ${policy.join("; ")}`,
      "X-Content-Type-Options: nosniff",
      "Referrer-Policy: no-referrer",
      "X-Frame-Options: DENY",
      "Cross-Origin-Opener-Policy: same-origin",
      "Cross-Origin-Resource-Policy: same-origin",
      ...keep("no-store"),
    ]),
    rule("/admin-next/assets/*", keep("public, max-age=31536000, immutable")),
    ...(api === "" ? [rule("/openapi.json", ["X-Content-Type-Options: nosniff", ...keep("no-cache")])] : []),
    ...single.map((file) => rule(`/admin-next/${file}`, keep("no-cache"))),
  ].join("\n\n")}\n`;
}

/** Every address of the console is answered with its page, and files with themselves. The first rule that fits holds. */
function redirects(single) {
  return [
    // On Pages, where no relay answers at `/`.
    ...(api === "" ? [] : ["/ /admin-next/ 302"]),
    ...single.map((file) => `/admin-next/${file} /admin-next/${file} 200`),
    "/admin-next/assets/* /admin-next/assets/:splat 200",
    "/admin-next/* /admin-next/ 200",
    "",
  ].join("\n");
}
