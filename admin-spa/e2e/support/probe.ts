// Measures in the browser from what a person did until what they asked for was painted: by the event's own time
// stamp, mutations of the page and the frames that show them. Nothing is polled.

import type { Page } from "playwright-core";

/** What has to be on the page. Runs in the browser. */
export interface Sight {
  /** Selectors that must each match something. */
  has: string[];
  /** Each row of the table contains this. */
  rows?: string;
  /** The first row is another than it was when the probe was set. */
  moved?: boolean;
  /** Nothing of the page before is left. */
  fresh?: boolean;
  /** The end of the address's path. */
  at?: string;
}

/** Milliseconds. */
export interface Span {
  /** Until the frame that first showed what was asked for. */
  painted: number;
  /** Until the last frame that changed anything, once nothing came any more. */
  complete: number;
}

interface Probe {
  begin: number;
  seen: number;
  last: number;
  set(sight: Sight, event: string): void;
}

declare global {
  interface Window {
    crsProbe: Probe;
  }
}

/** Quiet after which nothing more is expected, milliseconds. It is no part of any figure. */
const QUIET = 250;
const PATIENCE = 20_000;

/** For `addInitScript`: the probe begins with the page, so that a first visit counts from its navigation. */
export function install(sight: Sight): void {
  let wanted = sight;
  let pending = false;
  let firstRow = "";
  let awaited = "";
  const table = () => document.querySelector("main table");
  const rowsOf = () => [...(table()?.querySelectorAll("tbody tr") ?? [])];
  // By its link, since moments in a row tick.
  const nameOf = (row: Element | undefined) => row?.querySelector("a")?.getAttribute("href") ?? "";
  const met = () => {
    const rows = rowsOf();
    if (wanted.at !== undefined && !location.pathname.endsWith(wanted.at)) return false;
    if (wanted.fresh && document.querySelector("[data-crs-old]")) return false;
    if (table()?.getAttribute("aria-busy")) return false;
    if (wanted.moved && (rows.length === 0 || nameOf(rows[0]) === firstRow)) return false;
    const word = wanted.rows?.toLowerCase();
    if (word !== undefined && (rows.length === 0 || !rows.every((row) => row.textContent?.toLowerCase().includes(word)))) return false;
    return wanted.has.every((selector) => document.querySelector(selector));
  };
  const probe: Probe = {
    begin: 0,
    seen: 0,
    last: 0,
    set(next, event) {
      wanted = next;
      awaited = event;
      probe.begin = -1;
      probe.seen = probe.last = 0;
      firstRow = nameOf(rowsOf()[0]);
      if (next.fresh) for (const old of document.querySelectorAll("main > *")) old.setAttribute("data-crs-old", "");
    },
  };
  // The last one counts: of a word that is typed, its last letter.
  for (const name of ["click", "input", "change"]) {
    addEventListener(name, (event) => name === awaited && (probe.begin = event.timeStamp), { capture: true });
  }
  const channel = new MessageChannel();
  channel.port1.onmessage = () => {
    pending = false;
    if (probe.begin < 0) return;
    // After the frame was painted, hence its message comes after its callbacks.
    const now = performance.now();
    probe.last = now;
    if (probe.seen === 0 && met()) probe.seen = now;
  };
  new MutationObserver(() => {
    if (pending) return;
    pending = true;
    requestAnimationFrame(() => channel.port2.postMessage(undefined));
  }).observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
  window.crsProbe = probe;
}

/** Does `act` and measures from its last event of this kind until `sight`. */
export async function measure(page: Page, event: "click" | "input" | "change", sight: Sight, act: () => Promise<void>): Promise<Span> {
  await page.evaluate(([sight, event]) => window.crsProbe.set(sight, event), [sight, event] as const);
  await act();
  return read(page);
}

/** The figures of what runs. */
export async function read(page: Page): Promise<Span> {
  await page.waitForFunction(
    (quiet) => {
      const { seen, last } = window.crsProbe;
      return seen > 0 && performance.now() - last > quiet;
    },
    QUIET,
    { timeout: PATIENCE },
  );
  return page.evaluate(() => {
    const { begin, seen, last } = window.crsProbe;
    return { painted: seen - begin, complete: last - begin };
  });
}
