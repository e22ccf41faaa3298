// What a test of the console runs against: the scripted provider, the relay as a process or as a Worker in Miniflare,
// and a static host. Everything listens on a free port of 127.0.0.1, has data of its own, and ends with the test.

import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type IncomingMessage, type ServerResponse, createServer, request as ask } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";

const repository = path.resolve(import.meta.dirname, "../../..");

/** How long anything may take to start or to end, milliseconds. */
const PATIENCE = 60_000;

/** Where a program is that scripts/test-console built. */
function program(variable: string): string {
  const file = process.env[variable];
  if (file === undefined || file === "" || !existsSync(file)) {
    throw new Error(`${variable} names no program: run scripts/test-console`);
  }
  return file;
}

export interface Running {
  url: string;
  stop(): Promise<void>;
}

export interface Relay extends Running {
  username: string;
  password: string;
}

/**
 * Starts a program; resolves to what `wanted` finds in the first line it prints that fits, be it an error or not. Its
 * input closes when it is to end.
 */
async function start(
  command: string,
  args: string[],
  env: Record<string, string>,
  wanted = /^(.+)$/,
): Promise<{ found: string; stop: () => Promise<void> }> {
  const child = spawn(command, args, { env, stdio: ["pipe", "pipe", "pipe"] });
  let log = "";
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const stop = async () => {
    child.stdin.end();
    // A relay does not read its input.
    if (child.exitCode === null) child.kill("SIGTERM");
    const impatient = setTimeout(() => child.kill("SIGKILL"), PATIENCE);
    await ended;
    clearTimeout(impatient);
  };
  let late: NodeJS.Timeout | undefined;
  const started = new Promise<string>((resolve, reject) => {
    late = setTimeout(() => reject(new Error(`${command} did not start:\n${log}`)), PATIENCE);
    child.once("error", reject);
    void ended.then(() => reject(new Error(`${command} ended:\n${log}`)));
    for (const input of [child.stdout, child.stderr]) {
      createInterface({ input }).on("line", (line) => {
        log += `${line}\n`;
        const match = wanted.exec(line);
        if (match?.[1] !== undefined) resolve(match[1]);
      });
    }
  });
  try {
    return { found: await started, stop };
  } catch (error) {
    child.kill("SIGKILL");
    throw error;
  } finally {
    clearTimeout(late);
  }
}

/** The provider that all accounts of a relay lead to; see `./provider.ts` for how to steer it. */
export async function startProvider(): Promise<Running> {
  const { found, stop } = await start(program("CRS_PROVIDER_BIN"), [], {});
  return { url: found, stop };
}

/** Every provider host of the relay is this one, and may be on this machine. */
function towards(provider: string): Record<string, string> {
  const token = `${provider}/v1/oauth/token`;
  return {
    ALLOW_PRIVATE_UPSTREAMS: "true",
    CLAUDE_API_URL: provider,
    OPENAI_API_URL: provider,
    CODEX_API_URL: provider,
    GEMINI_API_URL: provider,
    CODE_ASSIST_URL: provider,
    ANTIGRAVITY_API_URL: provider,
    ENTRA_URL: provider,
    CLAUDE_OAUTH_URL: token,
    OPENAI_OAUTH_URL: token,
    GOOGLE_OAUTH_URL: token,
  };
}

/** A clock of a relay that a test sets back. It is made by libfaketime, which reads the offset from a file. */
export class PastClock {
  readonly env: Record<string, string>;
  readonly #file: string;

  private constructor(library: string, file: string) {
    this.#file = file;
    this.env = { LD_PRELOAD: library, FAKETIME_TIMESTAMP_FILE: file, FAKETIME_NO_CACHE: "1", FAKETIME_DONT_FAKE_MONOTONIC: "1" };
    this.set(0);
  }

  /** Undefined on a machine without libfaketime. */
  static find(file: string): PastClock | undefined {
    const library = ["x86_64", "aarch64"]
      .map((machine) => `/usr/lib/${machine}-linux-gnu/faketime/libfaketimeMT.so.1`)
      .find((library) => existsSync(library));
    return library === undefined ? undefined : new PastClock(library, file);
  }

  /** From now on it is so many hours ago. */
  set(hours: number): void {
    writeFileSync(this.#file, `-${hours * 3600}`);
  }
}

/** The program as it comes. With a `home` it goes on with the data there, which stays; otherwise its data is new. */
export async function startRelay(
  provider: string,
  settings: Record<string, string> = {},
  { home: kept, clock }: { home?: string; clock?: PastClock } = {},
): Promise<Relay> {
  const home = kept ?? mkdtempSync(path.join(tmpdir(), "crs-console-"));
  const data = path.join(home, "data");
  const env = {
    PATH: process.env.PATH ?? "",
    HOME: home,
    HOST: "127.0.0.1",
    PORT: "0",
    DATA_DIR: data,
    ...towards(provider),
    ...clock?.env,
    ...settings,
  };
  const { found, stop } = await start(program("CRS_BIN"), ["serve"], env, /(http:\/\/127\.0\.0\.1:\d+)/);
  const init = JSON.parse(readFileSync(path.join(data, "init.json"), "utf8")) as Record<string, string>;
  return {
    url: found,
    username: init.adminUsername ?? "",
    password: init.adminPassword ?? "",
    stop: async () => {
      await stop();
      if (kept === undefined) rmSync(home, { recursive: true, force: true });
    },
  };
}

/** The Worker that scripts/build-worker made, in Miniflare, as `scripts/start --worker` starts it. */
export async function startWorker(provider: string, settings: Record<string, string> = {}): Promise<Relay> {
  const home = mkdtempSync(path.join(tmpdir(), "crs-console-"));
  const tools = process.env.CRS_NODE_TOOLS ?? "";
  const password = "Marzipan, 3 words";
  const env = {
    PATH: process.env.PATH ?? "",
    HOME: home,
    TMPDIR: home,
    PORT: "0",
    CRS_NODE_TOOLS: tools,
    ADMIN_PASSWORD: password,
    LEDGER_FLUSH_INTERVAL: "50",
    ...towards(provider),
    ...settings,
  };
  const script = path.join(repository, "tests/worker/start.mjs");
  const args = [script, path.join(home, "worker"), program("CRS_UPSTASH_FRONT_BIN")];
  const { found, stop } = await start(path.join(tools, "bin/node"), args, env, /(http:\/\/127\.0\.0\.1:\d+)/);
  return {
    url: found,
    username: "admin",
    password,
    stop: async () => {
      await stop();
      rmSync(home, { recursive: true, force: true });
    },
  };
}

const MEDIA: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".ico": "image/x-icon",
  ".json": "application/json",
};

/**
 * A host like Cloudflare Pages, for a folder that `admin-spa/scripts/pack.mjs ORIGIN FOLDER` made: an origin of its
 * own, with the headers that `_headers` says. The folder may be made once the address is known. With a relay, all that
 * is not the console's goes there, so that a console can be tried that is not in the program yet.
 */
export async function startSite(folder: string, relay?: string): Promise<Running> {
  const answer = (request: IncomingMessage, response: ServerResponse) => {
    const { pathname } = new URL(request.url ?? "/", "http://site");
    if (relay !== undefined && !pathname.startsWith("/admin-next/")) {
      const { method, headers, url = "/" } = request;
      const forward = ask(relay + url, { method, headers }, (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
      });
      forward.on("error", () => response.writeHead(502).end());
      response.on("close", () => forward.destroy());
      request.pipe(forward);
      return;
    }
    if (pathname === "/") {
      response.writeHead(302, { location: "/admin-next/" }).end();
      return;
    }
    const rules = rulesOf(readFileSync(path.join(folder, "_headers"), "utf8"));
    for (const { pattern, headers } of rules) {
      if (pattern.test(pathname)) for (const [name, value] of headers) response.setHeader(name, value);
    }
    const own = path.join(folder, path.normalize(decodeURIComponent(pathname)));
    const hashed = pathname.startsWith("/admin-next/assets/");
    const file = pathname !== "/admin-next/" && existsSync(own) ? own : path.join(folder, "admin-next/index.html");
    if (!pathname.startsWith("/admin-next/") || (hashed && file !== own)) {
      response.writeHead(404).end();
      return;
    }
    response.setHeader("content-type", MEDIA[path.extname(file)] ?? "application/octet-stream");
    response.end(readFileSync(file));
  };
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** The rules of a `_headers` file in their order; a later one of the same name replaces the earlier. */
function rulesOf(text: string): { pattern: RegExp; headers: [string, string][] }[] {
  return text
    .split("\n\n")
    .map((block) => block.trim().split("\n"))
    .map(([pattern = "", ...lines]) => ({
      pattern: new RegExp(`^${pattern.replace(/[.+?^${}()|[\]\\]/g, "\\$&").replaceAll("*", ".*")}$`),
      headers: lines
        .map((line) => line.trim())
        .filter((line) => !line.startsWith("!"))
        .map((line): [string, string] => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]),
    }));
}
