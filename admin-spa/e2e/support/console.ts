// The fixture: a provider, a relay with a new data folder, and a browser on its console. A test that leaves the
// browser with a complaint fails.

import assert from "node:assert/strict";
import { setTimeout } from "node:timers/promises";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import type { TestContext } from "node:test";
import { type Browser, type BrowserContext, type Page, chromium } from "playwright-core";
import type { AxeResults, RunOptions } from "axe-core";

import { Provider } from "./provider.ts";
import { START } from "./pages.ts";
import { type Relay, type Running, startProvider, startRelay, startSite } from "./servers.ts";
import { Watch } from "./watch.ts";

export type Theme = "light" | "dark";
export type Language = "en" | "zh";

export const THEMES: Theme[] = ["light", "dark"];
export const LANGUAGES: Language[] = ["en", "zh"];
/** Of a desk and of a phone, CSS pixels. */
export const WIDTHS = [1280, 360];

export interface View {
  theme?: Theme;
  language?: Language;
  width?: number;
  timezone?: string;
}

/** An answer of the login. */
interface Session {
  token: string;
  /** Milliseconds. */
  expiresIn: number;
  username: string;
}

export interface Options extends View {
  /** Variables of the relay. */
  settings?: Record<string, string>;
  /** Another relay than the program, such as the Worker. */
  relay?: (provider: string) => Promise<Relay>;
  /** Where the console is served, if not by the relay itself. It ends with the test. */
  site?: Running;
  /** A folder with data that the relay goes on with; called with the provider's address before the relay starts. */
  home?: (provider: string) => Promise<string>;
  /** Called with the relay before the browser starts. */
  ready?: (relay: Relay) => void;
}

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Whether nothing of the page waits for newer rows or fades. Runs in the browser. */
function rests(): boolean {
  return !document.querySelector(":is(table, dl, figure)[aria-busy=true]") && document.getAnimations().every(
    ({ playState, effect }) => playState !== "running" || effect?.getComputedTiming().iterations === Infinity,
  );
}

let browser: Promise<Browser> | undefined;

/** One browser for all tests of a file; each has a context of its own. */
async function launch(): Promise<Browser> {
  browser ??= chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox",
      "--disable-dev-shm-usage",
      // Nothing but this machine, even if a page asks. It has a second name, which browsers do not trust as they trust
      // an address of their own machine.
      "--host-resolver-rules=MAP plain.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ],
  });
  return browser;
}

/** Ends the browser; to be called in `after` of each file. */
export async function closeBrowser(): Promise<void> {
  await (await browser)?.close();
  browser = undefined;
}

export class Console {
  readonly provider: Provider;
  readonly relay: Relay;
  /** Where the console is, without a slash at its end. */
  readonly origin: string;
  context!: BrowserContext;
  page!: Page;
  watch!: Watch;
  #session: Promise<Session> | undefined;
  readonly #beside: Console[] = [];

  private constructor(provider: Provider, relay: Relay, origin: string) {
    this.provider = provider;
    this.relay = relay;
    this.origin = origin;
  }

  /** Starts everything for one test; it ends with it. */
  static async start(t: TestContext, options: Options = {}): Promise<Console> {
    const started: Running[] = options.site === undefined ? [] : [options.site];
    const made: { console?: Console } = {};
    t.after(async () => {
      try {
        await made.console?.finish(t);
      } finally {
        // What asks others ends before them.
        for (const server of started.reverse()) await server.stop();
      }
    });
    const provider = await startProvider();
    started.push(provider);
    const relay = await (options.relay?.(provider.url) ??
      startRelay(provider.url, options.settings, { home: await options.home?.(provider.url) }));
    started.push(relay);
    options.ready?.(relay);
    let origin = options.site?.url ?? relay.url;
    if (options.relay === undefined && process.env.CRS_CONSOLE_SITE) {
      const site = await startSite(process.env.CRS_CONSOLE_SITE, relay.url);
      started.push(site);
      origin = site.url;
    }
    const console = new Console(new Provider(provider.url), relay, origin);
    made.console = console;
    await console.look(options);
    return console;
  }

  /** A second window with a profile of its own, on the same relay. It ends with the test, and may not complain either. */
  async beside(view: View = {}): Promise<Console> {
    const other = new Console(this.provider, this.relay, this.origin);
    other.#session = this.#login();
    await other.look(view);
    this.#beside.push(other);
    return other;
  }

  /** Closes the browser's windows; fails if they complained. Of a test that failed there are pictures. */
  private async finish(t: TestContext): Promise<void> {
    for (const other of this.#beside) await other.finish(t);
    if (!(t as TestContext & { passed: boolean }).passed) {
      const name = `failed-${`${t.name} ${new URL(this.page.url()).pathname}`.replaceAll(/\W+/g, "-")}.png`;
      const picture = path.join(import.meta.dirname, "../../screenshots", name);
      await this.page.screenshot({ path: picture }).catch(() => {});
      for (const complaint of this.watch.complaints) t.diagnostic(complaint);
      t.diagnostic(`${this.page.url()} looked like ${picture}`);
    }
    await this.#close();
    assert.deepEqual(this.watch.complaints, [], "the browser complained");
  }

  /** Closes the window, if there is one. A poll that a test answers itself may be half answered: nobody waits for it. */
  async #close(): Promise<void> {
    if (this.context === undefined) return;
    for (const page of this.context.pages()) await page.unrouteAll({ behavior: "ignoreErrors" });
    await this.context.unrouteAll({ behavior: "ignoreErrors" });
    await this.context.close();
  }

  /** A new window of a person who prefers this; what they were logged in to is gone. */
  async look(view: View = {}): Promise<Page> {
    const complaints = this.watch?.complaints ?? [];
    await this.#close();
    const width = view.width ?? 1280;
    this.context = await (await launch()).newContext({
      viewport: { width, height: width < 600 ? 740 : 800 },
      colorScheme: view.theme ?? "light",
      locale: view.language === "zh" ? "zh-CN" : "en-US",
      timezoneId: view.timezone ?? "America/Los_Angeles",
      reducedMotion: "reduce",
      hasTouch: width < 600,
    });
    this.context.setDefaultTimeout(15_000);
    this.watch = new Watch([this.origin, this.relay.url]);
    this.watch.complaints.push(...complaints);
    await this.watch.attach(this.context);
    await this.context.addInitScript({ content: AXE });
    this.page = await this.context.newPage();
    return this.page;
  }

  /** Opens a path below `/admin-next/`. */
  async open(path: string): Promise<Page> {
    await this.page.goto(`${this.origin}/admin-next/${path}`);
    return this.page;
  }

  /** Fills in the login and sends it; by default the right one. */
  async submitLogin(password = this.relay.password, username = this.relay.username): Promise<void> {
    await this.page.locator("input[autocomplete=username]").fill(username);
    await this.page.locator("input[autocomplete=current-password]").fill(password);
    await this.page.locator("input[autocomplete=current-password]").press("Enter");
  }

  /** Logs in by the page, and is at `path` afterwards. */
  async loginByHand(path = START ?? ""): Promise<Page> {
    await this.open(path);
    await this.page.waitForURL(/\/admin-next\/login/);
    await this.submitLogin();
    await this.page.waitForURL((url) => url.pathname === `/admin-next/${path.split("?")[0]}`);
    await this.settled();
    return this.page;
  }

  /** Opens `path` as somebody who has logged in: with a session that this test shares, without the login page. */
  async login(path = START ?? ""): Promise<Page> {
    const { token, expiresIn, username } = await this.#login();
    // Of the console's origin, and without a script of it.
    const blank = `${this.origin}/admin-next/blank-for-tests`;
    await this.page.route(blank, (route) => route.fulfill({ contentType: "text/html", body: '<link rel="icon" href="data:,"><title>blank</title>' }));
    await this.page.goto(blank);
    await this.page.evaluate(
      (session) => sessionStorage.setItem("crs-session", JSON.stringify(session)),
      { token, username, expiresAt: Date.now() + expiresIn },
    );
    await this.page.unroute(blank);
    await this.open(path);
    await this.settled();
    return this.page;
  }

  /** Waits until the page has what it asked for. */
  async settled(): Promise<void> {
    await this.page.locator("main, [role=main]").first().waitFor();
    await this.watch.quiet(this.page);
  }

  /** Calls the admin API beside the browser, as a test that sets the scene does. */
  async api<T>(method: string, path: string, body?: unknown): Promise<T> {
    const { token } = await this.#login();
    const response = await fetch(`${this.relay.url}${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await response.text();
    assert.ok(response.ok, `${method} ${path}: ${response.status} ${text}`);
    return (text === "" ? undefined : JSON.parse(text)) as T;
  }

  /** Waits until the ledger has so many calls of a key: records are written together, ten times a second. */
  async recorded(keyId: string, calls: number): Promise<void> {
    for (;;) {
      const page = await this.api<{ items: unknown[] }>("GET", `/admin/requests?keyId=${keyId}`);
      if (page.items.length >= calls) return;
      await setTimeout(50);
    }
  }

  /** The session of this test, begun when it is first needed. */
  #login(): Promise<Session> {
    this.#session ??= this.newSession();
    return this.#session;
  }

  /** Logs in anew, beside the browser. */
  async newSession(): Promise<Session> {
    const response = await fetch(`${this.relay.url}/web/auth/login`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ username: this.relay.username, password: this.relay.password }),
    });
    assert.equal(response.status, 200, "the login was refused");
    return (await response.json()) as Session;
  }

  /** Fails on any serious finding of axe, and on a page that is wider than its window. */
  async accessible(what: string): Promise<void> {
    // A change of the address asks for rows a moment later, and a table that waits for them is dimmed on purpose.
    await this.watch.quiet(this.page);
    await this.page.waitForFunction(rests);
    // Only what counts leaves the browser: all that axe has to say of a page takes longer than to find it.
    const serious = await this.page.evaluate(async () => {
      const { axe } = window as unknown as { axe: { run(options: RunOptions): Promise<AxeResults> } };
      const { violations } = await axe.run({ resultTypes: ["violations"] });
      return violations
        .filter(({ impact }) => impact === "serious" || impact === "critical")
        .map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.target.join(" ")} ${node.failureSummary}`).join("; ")}`);
    });
    assert.deepEqual(serious, [], `${what}: axe`);
    assert.equal(await this.page.evaluate(widest), "", `${what} is wider than its window`);
  }
}

/** In the browser: what reaches over the window's edge, or nothing if the page fits. */
export function widest(): string {
  const over = document.documentElement.scrollWidth - innerWidth;
  if (over <= 0) return "";
  const edge = (element: Element) => element.getBoundingClientRect().right;
  const found = [...document.body.querySelectorAll("*")].filter((element) => edge(element) > innerWidth && !element.closest(".dt-scroll"));
  return `${over} px: ${found.slice(0, 3).map((element) => element.outerHTML.slice(0, 300)).join(" ... ")}`;
}
