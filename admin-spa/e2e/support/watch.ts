// What no page of the console may ever do: report an error to the browser's console, violate its policy, or ask
// another host for anything. Also counts what a person does with hand and keyboard.

import type { BrowserContext, Page } from "playwright-core";

declare global {
  interface Window {
    crsTestSaw(kind: string, what: string): Promise<void>;
  }
}

export class Watch {
  /** Complaints so far, one a line. */
  readonly complaints: string[] = [];
  readonly #hosts: Set<string>;
  readonly #allowed: RegExp[] = [];
  #clicks = 0;

  constructor(origins: string[]) {
    this.#hosts = new Set(origins.map((origin) => new URL(origin).host));
  }

  /** The pages are at another name of the same relay. */
  allowOrigin(origin: string): void {
    this.#hosts.add(new URL(origin).host);
  }

  /** A test that provokes a failure says which words of the browser's console it expects. */
  allow(words: RegExp): void {
    this.#allowed.push(words);
  }

  /** Calls fail with this status, as the test wants it. */
  allowStatus(status: number): void {
    this.allow(new RegExp(`Failed to load resource: .*status of ${status}\\b`));
  }

  /** Clicks and presses of Enter since the last call of `reset`. */
  get clicks(): number {
    return this.#clicks;
  }

  reset(): void {
    this.#clicks = 0;
  }

  async attach(context: BrowserContext): Promise<void> {
    await context.exposeFunction("crsTestSaw", (kind: string, what: string) => {
      if (kind === "click") this.#clicks += 1;
      else this.complaints.push(`${kind}: ${what}`);
    });
    await context.addInitScript(() => {
      addEventListener("securitypolicyviolation", (event) => {
        const what = `${event.effectiveDirective} ${event.blockedURI} ${event.sample} ${event.sourceFile}:${event.lineNumber}`;
        void window.crsTestSaw("policy", what);
      });
      addEventListener("pointerdown", (event) => event.isTrusted && void window.crsTestSaw("click", ""), true);
      addEventListener(
        "keydown",
        (event) => event.isTrusted && event.key === "Enter" && void window.crsTestSaw("click", ""),
        true,
      );
    });
    context.on("request", (request) => {
      const { protocol, host } = new URL(request.url());
      if (protocol === "data:" || protocol === "blob:" || this.#hosts.has(host)) return;
      this.complaints.push(`another host: ${request.url()}`);
    });
    context.on("page", (page) => this.#watch(page));
  }

  #watch(page: Page): void {
    page.on("pageerror", (error) => this.complaints.push(`error: ${error.stack ?? error.message}`));
    page.on("console", (message) => {
      const text = message.text();
      if (message.type() !== "error" && message.type() !== "warning") return;
      if (this.#allowed.some((words) => words.test(text))) return;
      this.complaints.push(`console.${message.type()}: ${text} (${message.location().url})`);
    });
  }
}
