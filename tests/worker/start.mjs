// The Worker for a person to try: `node start.mjs DATA_FOLDER UPSTASH_FRONT`, called by scripts/start --worker.
//
// Makes up the secrets that are not set, once, into DATA_FOLDER/secrets.json; starts the front with its Redis, unless
// there is a real Upstash; hands every variable of .env.example that is set to the Worker. What it starts has its
// standard input from here and ends when that closes, so that nothing stays behind however this process ends.

import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { createInterface } from "node:readline";

const [folder, frontProgram] = process.argv.slice(2);
const root = path.join(import.meta.dirname, "../..");
// Of the native host: where it listens and keeps its data.
const NATIVE = ["HOST", "PORT", "DATA_DIR", "STORE"];
const children = [];

mkdirSync(folder, { recursive: true, mode: 0o700 });
const bindings = { ...secrets(), ...settings() };
if (!bindings.UPSTASH_REDIS_REST_URL) bindings.UPSTASH_REDIS_REST_URL = await front(bindings.UPSTASH_REDIS_REST_TOKEN);
const worker = await launch({
  build: path.join(root, "build"),
  host: process.env.HOST || "127.0.0.1",
  port: Number(process.env.PORT || 3000),
  persist: path.join(folder, "objects"),
  bindings,
});
console.log(`crs-edge, the Worker, listens on ${worker.url}`);
console.log(`the admin login is in ${path.join(folder, "secrets.json")}, unless ADMIN_PASSWORD is set`);

/** What a Worker must be given, made up once. */
function secrets() {
  const file = path.join(folder, "secrets.json");
  const kept = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : {};
  const made = {
    JWT_SECRET: randomBytes(32).toString("hex"),
    ENCRYPTION_KEY: randomBytes(32).toString("hex"),
    ADMIN_USERNAME: "admin",
    ADMIN_PASSWORD: randomBytes(15).toString("base64url"),
    UPSTASH_REDIS_REST_TOKEN: randomBytes(24).toString("hex"),
  };
  const all = { ...made, ...kept };
  if (Object.keys(all).length > Object.keys(kept).length) {
    writeFileSync(file, `${JSON.stringify(all, null, 2)}\n`, { mode: 0o600 });
  }
  return all;
}

/** The variables of .env.example that are set. */
function settings() {
  const example = readFileSync(path.join(root, ".env.example"), "utf8");
  const names = [...example.matchAll(/^#?([A-Z][A-Z0-9_]*)=/gm)].map(([, name]) => name);
  const set = names.filter((name) => process.env[name] && !NATIVE.includes(name) && !name.startsWith("REDIS_"));
  return Object.fromEntries(set.map((name) => [name, process.env[name]]));
}

/** Starts the front with its Redis; resolves to its address. */
async function front(token) {
  const args = ["--redis-server", path.join(folder, "redis"), "--token-env", "UPSTASH_REDIS_REST_TOKEN"];
  return start(frontProgram, args, { UPSTASH_REDIS_REST_TOKEN: token });
}

async function launch(config) {
  const file = path.join(folder, "worker.json");
  // It holds the secrets.
  writeFileSync(file, JSON.stringify(config), { mode: 0o600 });
  return JSON.parse(await start(process.execPath, [path.join(import.meta.dirname, "launch.mjs"), file]));
}

/** Starts a program; resolves to the first line it prints. Whichever ends, all end. */
function start(program, args, env = {}) {
  // A group of its own: the terminal's Ctrl-C comes to this process alone, which then ends the others in turn.
  const child = spawn(program, args, {
    env: { ...process.env, ...env },
    stdio: ["pipe", "pipe", "inherit"],
    detached: true,
  });
  children.push(child);
  child.on("exit", (code) => {
    child.ended = true;
    end(code ?? 1);
  });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    createInterface({ input: child.stdout }).once("line", resolve);
  });
}

let ending = false;
async function end(code) {
  if (ending) return;
  ending = true;
  // The Worker first: it may have something to write.
  for (const child of children.reverse()) {
    if (!child.ended) {
      const over = new Promise((resolve) => child.once("exit", resolve));
      child.stdin.end();
      const impatient = setTimeout(() => child.kill("SIGKILL"), 10_000);
      await over;
      clearTimeout(impatient);
    }
  }
  process.exit(code);
}
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => end(0));
