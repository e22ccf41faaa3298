// A relay with much in it: for what has to stay quick, and for what may not grow with the number of rows.

import { Agent, request } from "node:http";

import type { Console } from "./console.ts";

export interface Amounts {
  keys: number;
  accounts: number;
  calls: number;
}

const NOTHING: Amounts = { keys: 0, accounts: 0, calls: 0 };

export interface Much {
  /** Ids in the order in which they were made. */
  accounts: string[];
  keys: string[];
}

/** Most keys that one call of the admin API makes. */
const BATCH = 100;
const TEAMS = ["Research", "Platform", "Data science", "Support", "Mobile", "Web", "Finance", "Security", "Field", "Interns"];
const MODELS = ["claude-sonnet-4-5", "claude-opus-4-5", "claude-haiku-4-5", "claude-sonnet-4-0"];
const PART = 10_000;
/** Calls at the same time. */
const LANES = 24;

/** Credentials of the accounts' kind. Only Claude's are called. */
const KINDS = [
  ...Array<string>(8).fill("claude"),
  "openai",
  "gemini",
] as const;

/**
 * Fills the relay through its own API: keys by the hundred, accounts one by one, and real calls through the relay. A
 * few accounts are refused or out of capacity, a few calls fail, and some keys are used much more than others.
 * `before`: what it was filled with already.
 */
export async function fill(made: Console, { keys, accounts, calls }: Amounts, before: Amounts = NOTHING): Promise<Much> {
  const much: Much = { accounts: [], keys: [] };
  const secrets: string[] = [];
  for (let number = 0; number < keys; number += BATCH) {
    const team = TEAMS[(number / BATCH) % TEAMS.length] ?? "";
    const { items } = await made.api<{ items: { id: string; key: string }[] }>("POST", "/admin/api-keys/create-many", {
      count: Math.min(BATCH, keys - number),
      key: { name: `${team} ${1 + number / BATCH}`, tags: [team], dailyCostLimit: 200 + (number / BATCH) % 7, totalCostLimit: 5_000 },
    });
    much.keys.push(...items.map(({ id }) => id));
    secrets.push(...items.map(({ key }) => key));
  }
  for (let number = before.accounts; number < before.accounts + accounts; number += 1) {
    const platform = KINDS[number % KINDS.length] ?? "claude";
    const credential = `sk-${platform}-${number}`;
    const { id } = await made.api<{ id: string }>("POST", "/admin/accounts", {
      name: `${TEAMS[number % TEAMS.length]} ${platform} ${number}`,
      platform,
      priority: number % 10 === 3 ? 80 : 50,
      credentials: platform === "gemini" ? { type: "oauth", accessToken: credential, tenant: "t" } : { type: "apiKey", apiKey: credential },
    });
    much.accounts.push(id);
    const trouble = { 11: 401, 41: 429, 42: 529, 50: 400, 51: 400 }[number];
    if (trouble !== undefined) {
      await made.provider.answers({ credential, answer: { status: trouble, message: "as the script says" } });
    }
  }
  await call(made, secrets, calls, before.calls);
  await counted(made, before.calls + calls);
  return much;
}

/** Makes so many calls beside those `before`, the first keys more often than the last. */
async function call(made: Console, secrets: string[], calls: number, before: number): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: LANES });
  const { hostname, port } = new URL(made.relay.url);
  let next = 0;
  const one = (number: number) =>
    new Promise<void>((resolve, reject) => {
      // Spread evenly over [0, 1), the same in each run.
      const share = (number * 0.6180339887) % 1;
      const body = JSON.stringify({ model: MODELS[number % MODELS.length], max_tokens: 100, messages: [{ role: "user", content: "hello" }] });
      const headers = {
        "x-api-key": secrets[Math.floor(share * share * secrets.length)] ?? "",
        "content-type": "application/json",
        "content-length": String(Buffer.byteLength(body)),
        "anthropic-version": "2023-06-01",
      };
      const sent = request({ agent, hostname, port, path: "/api/v1/messages", method: "POST", headers }, (answer) => {
        // Of the provider's troubles a client sees only a request that is refused itself.
        if (answer.statusCode !== 200 && answer.statusCode !== 400) reject(new Error(`a call was answered with ${answer.statusCode}`));
        answer.resume().once("end", resolve).once("error", reject);
      });
      sent.once("error", reject);
      sent.end(body);
    });
  const lane = async () => {
    while (next < calls) {
      next += 1;
      await one(next);
      if (next % PART !== 0) continue;
      // The provider remembers what it was asked, and the books may not fall behind by more than they have room for.
      await made.provider.forget();
      await counted(made, before + next - 2 * PART);
    }
  };
  await Promise.all(Array.from({ length: Math.min(LANES, calls) }, lane));
  agent.destroy();
}

/** Waits until the books have them all. */
async function counted(made: Console, calls: number): Promise<void> {
  const patience = Date.now() + 180_000;
  for (;;) {
    const { totals } = await made.api<{ totals: { requests: number } }>("GET", "/admin/usage/summary?range=all");
    if (totals.requests >= calls) return;
    if (Date.now() > patience) throw new Error(`the books have ${totals.requests} of ${calls} calls`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
