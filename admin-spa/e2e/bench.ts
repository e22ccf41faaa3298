// How long a person waits in the console when there is much: scripts/bench --console
//
// The relay has 2,000 keys, 300 accounts and 100,000 calls, which were really made. Figures are milliseconds from the
// event (a click, the last letter typed) to the frame that shows its result, of several rounds; beside them stands what
// it cost the main thread in all, in style and in layout, until nothing changed any more. Fails when an aim is missed. For work on the benchmark itself: --quick makes few calls and rounds, --calls=N so many calls, and
// --only=filters,lists measures parts of answers, pages, filters, lists and details.

import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { setTimeout } from "node:timers/promises";

import { Console, closeBrowser } from "./support/console.ts";
import { type Much, fill } from "./support/many.ts";
import { Meter, type Work } from "./support/meter.ts";
import { PAGES } from "./support/pages.ts";
import { type Sight, type Span, install, measure, read } from "./support/probe.ts";

after(closeBrowser);

const quick = process.argv.includes("--quick");
const option = (name: string) => process.argv.find((one) => one.startsWith(`--${name}=`))?.slice(name.length + 3);
const only = option("only")?.split(",");
const AMOUNTS = { keys: 2_000, accounts: 300, calls: Number(option("calls") ?? (quick ? 2_000 : 100_000)) };
const ROUNDS = quick ? 3 : 9;
/** Of a page's first time: each has a browser's profile of its own. */
const COLD_ROUNDS = quick ? 2 : 5;
/** How long a person looks at the first page, milliseconds. */
const LOOK = 3_000;
/** Aims, milliseconds. */
const FILTER = 300;
const PAGE = 200;

/** What each page of the navigation is about; a page that is not named here fails. */
const CONTENT: Record<string, string[]> = {
  dashboard: ["main dl dd", "main svg[role=img], main figure svg"],
  accounts: ["main tbody tr"],
  "api-keys": ["main tbody tr"],
  requests: ["main tbody tr"],
  usage: ["main dl dd", "main tbody tr"],
  settings: ["main form input"],
  audit: ["main tbody tr"],
  tutorial: ["main pre"],
};

type Step = Span & { work?: Work };

interface Row {
  name: string;
  aim?: number;
  spans: Step[];
}

const sorted = (values: number[]) => [...values].sort((a, b) => a - b);
const at = (values: number[], share: number) => sorted(values)[Math.min(values.length - 1, Math.ceil(values.length * share) - 1)] ?? NaN;
const figures = ({ name, aim, spans }: Row) => {
  const painted = spans.map((span) => span.painted);
  const complete = spans.map((span) => span.complete);
  const median = at(painted, 0.5);
  const work = (part: keyof Work) => at(spans.map((span) => span.work?.[part] ?? NaN), 0.5);
  const cost = spans[0]?.work && { task: work("task"), style: work("style"), layout: work("layout") };
  return { name, aim, rounds: spans.length, median, p95: at(painted, 0.95), complete: at(complete, 0.5), cost, missed: aim !== undefined && median >= aim };
};

class Bench {
  readonly rows = new Map<string, Row>();
  readonly made: Console;
  #session = "";
  #meter: Meter | undefined;

  constructor(made: Console) {
    this.made = made;
  }

  add(name: string, span: Step, aim?: number): void {
    const row = this.rows.get(name) ?? { name, aim, spans: [] };
    row.spans.push(span);
    this.rows.set(name, row);
  }

  async login(): Promise<void> {
    await this.made.login();
    this.#session = await this.made.page.evaluate(() => JSON.stringify(sessionStorage));
  }

  /** A new profile, logged in, at this page. Gives the time of a first visit. */
  async cold(path: string): Promise<Span> {
    const page = await this.made.look();
    this.#meter = await Meter.of(page);
    await this.made.context.addInitScript(install, { has: CONTENT[path] ?? [], at: path });
    await this.made.context.addInitScript((stored) => {
      for (const [name, value] of Object.entries(JSON.parse(stored) as Record<string, string>)) sessionStorage.setItem(name, value);
    }, this.#session);
    await this.made.open(path);
    return read(page);
  }

  /** As the probe's, with what it cost. */
  async measure(event: "click" | "input" | "change", sight: Sight, act: () => Promise<void>): Promise<Step> {
    const probe = () => measure(this.made.page, event, sight, act);
    return this.#meter === undefined ? probe() : this.#meter.during(probe);
  }

  /** Follows the navigation's link to a page. */
  async go(path: string): Promise<Step> {
    const link = this.made.page.locator(`nav a[href="/admin-next/${path}"]`).first();
    return this.measure("click", { has: CONTENT[path] ?? [], at: path, fresh: true }, () => link.click());
  }
}

/** Paths of the navigation, in its order. */
async function navigation(bench: Bench): Promise<string[]> {
  const links = await bench.made.page.locator("nav a[href]").evaluateAll((links) => links.map((link) => link.getAttribute("href") ?? ""));
  const paths = links.map((link) => link.replace("/admin-next/", ""));
  for (const path of paths) assert.ok(CONTENT[path], `say in CONTENT what ${path} shows`);
  assert.ok(PAGES.length >= paths.length && paths.length >= 8, "the navigation was not found");
  return paths;
}

async function pages(bench: Bench): Promise<void> {
  const paths = await navigation(bench);
  for (let round = 0; round < COLD_ROUNDS; round += 1) {
    for (const path of paths) {
      const from = path === "dashboard" ? "accounts" : "dashboard";
      bench.add(`first visit: ${from}`, await bench.cold(from));
      bench.add(`page, at once: ${path}`, await bench.go(path), PAGE);
      // A person looks at a page before the next: meanwhile the console loads what may come.
      await bench.cold(from);
      await setTimeout(LOOK);
      bench.add(`page, first time: ${path}`, await bench.go(path), PAGE);
    }
  }
  await bench.cold("dashboard");
  // The set-up guide has no navigation.
  const warm = paths.filter((path) => path !== "tutorial");
  for (let round = -1; round < ROUNDS; round += 1) {
    for (const path of [...warm.slice(1), ...warm.slice(0, 1)]) {
      const span = await bench.go(path);
      if (round >= 0) bench.add(`page, again: ${path}`, span, PAGE);
    }
  }
}

/** Types a word as a person does, and empties the field afterwards. */
async function filters(bench: Bench): Promise<void> {
  const { page } = bench.made;
  const search = page.locator("main input[type=search]");
  const words = { "api-keys": ["Mobile 5", "Finance", "Web 16 9"], accounts: ["Mobile", "claude 25", "gemini 1"] };
  for (const [path, list] of Object.entries(words)) {
    await bench.go(path);
    for (let round = 0; round < ROUNDS; round += 1) {
      const word = list[round % list.length] ?? "";
      await search.click();
      bench.add(`filter: ${path}`, await bench.measure("input", { has: [], rows: word }, () => search.pressSequentially(word, { delay: 60 })), FILTER);
      bench.add(`filter emptied: ${path}`, await bench.measure("input", { has: ["main tbody tr"], moved: true }, () => search.fill("")), FILTER);
    }
  }
  await bench.go("requests");
  const outcome = page.locator("main select").nth(1);
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const value of ["failed", "all"]) {
      const span = await bench.measure("change", { has: ["main tbody tr"], moved: true }, () => outcome.selectOption(value).then(() => undefined));
      bench.add(`filter: requests, ${value}`, span, FILTER);
    }
  }
}

async function lists(bench: Bench): Promise<void> {
  const { page } = bench.made;
  const sight: Sight = { has: ["main tbody tr"], moved: true };
  for (const [path, column] of [["api-keys", "Name"], ["api-keys", "Today"], ["accounts", "Name"]] as const) {
    await bench.go("settings");
    await bench.go(path);
    const header = page.locator("main thead button", { hasText: column });
    for (let round = 0; round < ROUNDS; round += 1) {
      bench.add(`sort: ${path} by ${column.toLowerCase()}`, await bench.measure("click", sight, () => header.click()), PAGE);
    }
  }
  for (const [path, name] of [["api-keys", "Next page"], ["accounts", "Next page"], ["requests", /older/i]] as const) {
    await bench.go("settings");
    await bench.go(path);
    const next = page.getByRole("button", { name });
    for (let round = 0; round < ROUNDS; round += 1) {
      bench.add(`next page: ${path}`, await bench.measure("click", sight, () => next.click()), PAGE);
    }
  }
}

async function details(bench: Bench): Promise<void> {
  const { page } = bench.made;
  for (const [path, has] of [["api-keys", ["main dl dd", "main section ul li"]], ["accounts", ["main dl dd"]], ["requests", ["[role=dialog] dl dd"]]] as const) {
    await bench.go("settings");
    await bench.go(path);
    for (let round = 0; round < ROUNDS; round += 1) {
      const row = page.locator("main tbody tr").nth(round);
      const link = row.locator("a").first();
      const href = (await link.getAttribute("href")) ?? "";
      const at = new URL(href, "http://x").pathname.replace("/admin-next", "");
      const span = await bench.measure("click", { has: [...has], at }, () => link.click());
      bench.add(`open one: ${path}`, span, PAGE);
      await page.goBack();
      await page.locator("main tbody tr").nth(round + 1).waitFor();
    }
  }
}

/** The answers alone, without a browser. */
async function answers(bench: Bench, much: Much): Promise<void> {
  for (const path of [
    "/admin/overview",
    "/admin/usage/summary?range=today&top=6",
    "/admin/usage/trend?unit=hour&count=48",
    "/admin/usage/ranking?kind=accounts&range=today&top=100",
    "/admin/accounts?sortBy=status&sortOrder=asc&page=1&pageSize=20",
    "/admin/accounts?search=mobile&sortBy=status&sortOrder=asc&page=1&pageSize=20",
    `/admin/accounts/${much.accounts[0]}`,
    "/admin/api-keys?sortBy=createdAt&sortOrder=desc&page=1&pageSize=20",
    "/admin/api-keys?sortBy=createdAt&sortOrder=desc&page=1&pageSize=100",
    "/admin/api-keys?search=mobile&sortBy=createdAt&sortOrder=desc&page=1&pageSize=20",
    "/admin/api-keys?sortBy=costToday&sortOrder=desc&page=1&pageSize=20",
    "/admin/api-keys/tags",
    `/admin/api-keys/${much.keys[0]}`,
    "/admin/requests",
    "/admin/requests?errorsOnly=true",
    "/admin/audit",
  ]) {
    for (let round = 0; round < ROUNDS; round += 1) {
      const began = performance.now();
      await bench.made.api("GET", path);
      const took = performance.now() - began;
      bench.add(`answer: ${path.replaceAll(/[0-9a-f-]{36}/g, "<id>")}`, { painted: took, complete: took });
    }
  }
}

const PARTS = { answers, pages, filters, lists, details };

/** Prints the figures and writes them to bench-results/console.json. */
function report(bench: Bench, seedSeconds: number): void {
  const table = [...bench.rows.values()].map(figures);
  const cell = (value: number) => value.toFixed(0).padStart(8);
  console.log(`${"milliseconds".padEnd(84)}${["median", "p95", "complete", "task", "style", "layout", "aim"].map((head) => head.padStart(9)).join("")}`);
  for (const { name, median, p95, complete, cost, aim, missed } of table) {
    const spent = cost ? [cost.task, cost.style, cost.layout].map(cell) : ["", "", ""].map((none) => none.padStart(8));
    console.log(`${name.padEnd(84)} ${[median, p95, complete].map(cell).join(" ")} ${spent.join(" ")} ${aim === undefined ? "" : cell(aim)}${missed ? "  missed" : ""}`);
  }
  const folder = path.resolve(import.meta.dirname, "../../bench-results");
  mkdirSync(folder, { recursive: true });
  const facts = { at: new Date().toISOString(), cpu: cpus()[0]?.model, cpus: cpus().length, ...AMOUNTS, seedSeconds };
  writeFileSync(path.join(folder, "console.json"), `${JSON.stringify({ facts, figures: table }, undefined, 2)}\n`);
}

test("the console is quick with much in it", async (t) => {
  const began = performance.now();
  const made = await Console.start(t);
  const much = await fill(made, AMOUNTS);
  const seconds = (performance.now() - began) / 1000;
  console.log(`${AMOUNTS.keys} keys, ${AMOUNTS.accounts} accounts and ${AMOUNTS.calls} calls in ${seconds.toFixed(0)} s\n`);
  const bench = new Bench(made);
  await bench.login();
  try {
    for (const [name, part] of Object.entries(PARTS)) {
      if (only?.includes(name) === false) continue;
      await bench.cold("dashboard");
      await part(bench, much);
    }
  } finally {
    report(bench, seconds);
  }
  assert.deepEqual([...bench.rows.values()].map(figures).filter(({ missed }) => missed).map(({ name, median, aim }) => `${name}: ${median.toFixed(0)} of ${aim}`), [], "aims were missed");
});
