// What a step costs the browser's main thread, in its own processor time: unlike a person's wait it hardly depends on
// what else the machine does.

import type { CDPSession, Page } from "playwright-core";

/** Milliseconds. */
export interface Work {
  /** Everything: scripts, style, layout and paint. */
  task: number;
  style: number;
  layout: number;
}

const NAMES = { task: "TaskDuration", style: "RecalcStyleDuration", layout: "LayoutDuration" } as const;

export class Meter {
  readonly #session: CDPSession;

  private constructor(session: CDPSession) {
    this.#session = session;
  }

  static async of(page: Page): Promise<Meter> {
    const session = await page.context().newCDPSession(page);
    await session.send("Performance.enable", { timeDomain: "threadTicks" });
    return new Meter(session);
  }

  async #read(): Promise<Work> {
    const { metrics } = await this.#session.send("Performance.getMetrics");
    const of = (name: string) => 1000 * (metrics.find((one) => one.name === name)?.value ?? 0);
    return { task: of(NAMES.task), style: of(NAMES.style), layout: of(NAMES.layout) };
  }

  /** Does `act`, and says what it cost beside what it gave. */
  async during<T>(act: () => Promise<T>): Promise<T & { work: Work }> {
    const before = await this.#read();
    const given = await act();
    const after = await this.#read();
    return { ...given, work: { task: after.task - before.task, style: after.style - before.style, layout: after.layout - before.layout } };
  }
}
