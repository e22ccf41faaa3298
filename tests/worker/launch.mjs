// Runs the built Worker in Miniflare, that is in the real workerd: `node launch.mjs CONFIG.json`.
//
// CONFIG: {"build": folder, "host"?, "port"?, "bindings": {NAME: text}, "persist"?: folder, "announce"?: file}.
// Prints one JSON line {"url", "second", "control", "pid", "workerd"} when requests are served, and writes it to
// the file to announce it in; the Worker's log goes to standard error.
// At `url` the Worker answers by itself. At `control` Miniflare's own entry stands before it, which compresses
// answers and pulls triggers: GET /cdn-cgi/handler/scheduled. With "twice" a second Worker of the same code, with
// an isolate of its own and the same objects, answers at `second`.
// Ends when standard input closes or a signal asks for it. However it ends, workerd ends with it.
// Asks nothing of the internet. What wrangler.toml says (date, flags, objects) is read from there.

import childProcess from "node:child_process";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import module from "node:module";
import path from "node:path";

import { wranglerToml } from "./wrangler-toml.mjs";

const here = import.meta.dirname;
const config = JSON.parse(readFileSync(process.argv[2], "utf8"));
const tools = process.env.CRS_NODE_TOOLS ?? path.resolve(process.execPath, "../../../..");
const worker = wranglerToml(path.join(here, "../../wrangler.toml"));

// Miniflare is 4 MB of source: compiled once, it starts in half the time.
module.enableCompileCache?.(path.join(tools, ".compile-cache"));
const workerd = watchedWorkerd();
const { Miniflare, Log, LogLevel } = module.createRequire(path.join(tools, "package.json"))("miniflare");

const isolate = (name, port, durableObjects) => ({
  name,
  modulesRoot: path.resolve(config.build),
  modules: [
    { type: "ESModule", path: path.resolve(config.build, "index.js") },
    { type: "CompiledWasm", path: path.resolve(config.build, "index_bg.wasm") },
  ],
  compatibilityDate: worker.compatibilityDate,
  compatibilityFlags: worker.compatibilityFlags,
  durableObjects,
  bindings: config.bindings ?? {},
  // In front of the Worker, as on Cloudflare: what has an address of the console's never gets to it.
  assets: {
    directory: path.join(here, "../..", worker.assets.directory),
    workerName: name,
    routerConfig: { has_user_worker: true },
  },
  unsafeDirectSockets: [{ host: config.host ?? "127.0.0.1", port }],
});
const isolates = [isolate(worker.name, config.port ?? 0, worker.durableObjects)];
const second = `${worker.name}-second`;
if (config.twice) {
  const objects = Object.entries(worker.durableObjects).map(([binding, { className }]) => [
    binding,
    { className, scriptName: worker.name },
  ]);
  isolates.push(isolate(second, 0, Object.fromEntries(objects)));
}

const miniflare = new Miniflare({
  workers: isolates,
  durableObjectsPersist: config.persist ? path.resolve(config.persist) : false,
  host: "127.0.0.1",
  port: 0,
  unsafeTriggerHandlers: true,
  // Otherwise it asks a server of Cloudflare's for the properties of a request.
  cf: false,
  telemetry: { enabled: false },
  log: new Log(LogLevel.ERROR),
  handleRuntimeStdio(stdout, stderr) {
    stdout.pipe(process.stderr, { end: false });
    stderr.pipe(process.stderr, { end: false });
  },
});

let ending = false;
async function end(code) {
  if (ending) return;
  ending = true;
  try {
    await miniflare.dispose();
  } finally {
    process.exit(code);
  }
}
for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"]) {
  // Miniflare's own handler leaves at once, with an error.
  process.removeAllListeners(signal);
  process.on(signal, () => end(0));
}
process.stdin.on("end", () => end(0)).on("error", () => end(0)).resume();

try {
  const control = await miniflare.ready;
  const url = await miniflare.unsafeGetDirectURL(worker.name);
  const line = JSON.stringify({
    url: url.origin,
    second: config.twice && (await miniflare.unsafeGetDirectURL(second)).origin,
    control: control.origin,
    pid: process.pid,
    workerd: workerd.pid,
  });
  if (config.announce) {
    writeFileSync(`${config.announce}.new`, line);
    renameSync(`${config.announce}.new`, config.announce);
  }
  console.log(line);
} catch (error) {
  console.error(error);
  await end(1);
}

// Miniflare keeps workerd's process to itself and ends it only when asked: killed, it would leave workerd behind.
// So its `spawn` is listened to, and a shell is set beside workerd that waits for the end of this process, which
// is when the pipe closes, and then ends workerd by its id.
function watchedWorkerd() {
  const seen = { pid: undefined };
  const spawn = childProcess.spawn;
  childProcess.spawn = (...args) => {
    const child = spawn(...args);
    seen.pid = child.pid;
    const watch = spawn("/bin/sh", ["-c", 'read -r _; kill -9 "$1" 2> /dev/null', "watch", String(child.pid)], {
      stdio: ["pipe", "ignore", "ignore"],
      detached: true,
    });
    watch.unref();
    watch.stdin.unref();
    // Its number may be another process's once workerd is gone.
    child.once("exit", () => watch.kill("SIGKILL"));
    return child;
  };
  return seen;
}
