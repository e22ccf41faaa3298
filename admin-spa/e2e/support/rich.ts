// A relay that people have used for a week, for pictures and for whoever wants to see the console with substance:
// accounts in every state, keys near and over their limits, names of all kinds, calls of many models over days.

import path from "node:path";

import type { Console } from "./console.ts";
import { Provider } from "./provider.ts";
import { PastClock, type Relay, startRelay } from "./servers.ts";

interface Made {
  id: string;
  key?: string;
}

/** The ids of what later steps and pictures name. */
export interface Rich {
  accounts: Record<string, string>;
  keys: Record<string, Made>;
  /** Ends the calls that are still running. */
  stop(): void;
}

type Ask = <T>(method: string, path: string, body?: unknown) => Promise<T>;

/** The same numbers each time. */
function dice(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

const LONG = "A name as long as names may be, with all that its owner wanted to say about it: 研发中心, team B, floor 12";

const ACCOUNTS = {
  max: { name: "Claude Max · Lena", platform: "claude", groups: ["team"], maxConcurrency: 8, reservePercent: 10 },
  beijing: { name: "张伟的 Claude Pro 订阅（北京研发中心共享，请勿用于批处理任务）", platform: "claude", maxConcurrency: 4 },
  markup: { name: "Spare <b>account</b> \" onload=x", platform: "claude", priority: 80 },
  rtl: { name: "حساب الاحتياط للفريق", platform: "claude", priority: 90 },
  long: { name: LONG.slice(0, 100), platform: "claude", priority: 90 },
  refused: { name: "Old Pro account", platform: "claude", priority: 90 },
  limited: { name: "Claude Team 02", platform: "claude", priority: 60 },
  throttled: { name: "Claude API, burst", platform: "claude", priority: 90 },
  quota: { name: "按天限额的备用账号", platform: "claude", priority: 95 },
  busy: { name: "One at a time", platform: "claude", priority: 95, maxConcurrency: 1 },
  paused: { name: "Kept for Friday", platform: "claude", schedulable: false },
  off: { name: "已停用的旧账号", platform: "claude", isActive: false },
  ended: { name: "Trial of last month", platform: "claude" },
  codex: { name: "ChatGPT Business (Codex)", platform: "openai" },
  openai: { name: "OpenAI API · research", platform: "openai", maxConcurrency: 20 },
  gemini: { name: "Gemini 备用", platform: "gemini" },
  antigravity: { name: "Antigravity · ops@example.com", platform: "antigravity" },
} as const;
type AccountName = keyof typeof ACCOUNTS;

const KEYS: Record<string, Record<string, unknown>> = {
  ada: { name: "Ada's laptop", tags: ["team", "研发"], dailyCostLimit: 40, weeklyCostLimit: 200 },
  wang: { name: "王小明 · 前端组", tags: ["研发"], dailyCostLimit: 15 },
  ci: { name: "CI nightly", tags: ["ci"], rateLimitWindow: 60, rateLimitRequests: 500, concurrencyLimit: 4, concurrencyQueueSize: 8, concurrencyQueueTimeout: 30_000 },
  near: { name: "Design review bot", tags: ["bot"], dailyCostLimit: 1_000, weeklyOpusCostLimit: 60 },
  over: { name: "数据标注（外包）", tags: ["外包"], dailyCostLimit: 1_000 },
  total: { name: "Trial for Contoso", tags: ["trial"], totalCostLimit: 1_000 },
  haiku: { name: "Support macros", tags: ["bot"], permissions: ["claude"], enableModelRestriction: true, restrictedModels: ["claude-opus-4-5"] },
  codex: { name: "Grace (Codex only)", tags: ["team"], permissions: ["openai"], dailyCostLimit: 25 },
  gemini: { name: "لوحة المعلومات <i>v2</i>", tags: ["team"], permissions: ["gemini"] },
  long: { name: LONG.slice(0, 100), tags: ["a-tag-that-goes-on-and-on", "另一个标签", "third", "fourth", "fifth"], weeklyCostLimit: 90 },
  off: { name: "Left in October", isActive: false, tags: ["former"] },
  activation: { name: "Starts with its first call", expirationMode: "activation", activationDays: 30, activationUnit: "days" },
};

/** Calls that each step is made of: who, by which way, for what, how often among a hundred. */
const MIX: [key: string, way: "claude" | "openai" | "chat" | "gemini" | "bridge", model: string, share: number][] = [
  ["ada", "claude", "claude-opus-4-5", 14],
  ["ada", "claude", "claude-sonnet-4-5", 12],
  ["wang", "claude", "claude-sonnet-4-5", 14],
  ["ci", "claude", "claude-haiku-4-5", 14],
  ["near", "claude", "claude-opus-4-5", 6],
  ["over", "claude", "claude-sonnet-4-5", 8],
  ["total", "claude", "claude-haiku-4-5", 4],
  ["haiku", "claude", "claude-haiku-4-5", 6],
  ["long", "bridge", "claude-sonnet-4-5", 4],
  ["long", "claude", "claude-neptune-7", 2],
  ["codex", "openai", "gpt-5.1-codex", 8],
  ["codex", "chat", "gpt-5-mini", 3],
  ["gemini", "gemini", "gemini-2.5-pro", 5],
];

export function asker(relay: Relay): Ask {
  let token: string | undefined;
  return async <T>(method: string, where: string, body?: unknown): Promise<T> => {
    token ??= ((await (
      await fetch(`${relay.url}/web/auth/login`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ username: relay.username, password: relay.password }),
      })
    ).json()) as { token: string }).token;
    const response = await fetch(`${relay.url}${where}`, {
      method,
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${where}: ${response.status} ${text}`);
    return (text === "" ? undefined : JSON.parse(text)) as T;
  };
}

/** One call of a client; what it was told is its own affair. */
export async function call(relay: Relay, key: string, way: string, model: string, more: RequestInit = {}): Promise<number> {
  const messages = [{ role: "user", content: "Say hello in one word." }];
  const [where, headers, body] = ((): [string, Record<string, string>, unknown] => {
    if (way === "openai") return ["/openai/responses", { authorization: `Bearer ${key}` }, { model, input: messages, stream: true }];
    if (way === "chat") return ["/openai/v1/chat/completions", { authorization: `Bearer ${key}` }, { model, messages }];
    if (way === "bridge") return ["/openai/claude/v1/chat/completions", { authorization: `Bearer ${key}` }, { model, messages, stream: true }];
    if (way === "gemini") {
      const contents = [{ role: "user", parts: [{ text: "Say hello in one word." }] }];
      return [`/gemini/v1beta/models/${model}:generateContent`, { "x-goog-api-key": key }, { contents }];
    }
    const user_id = `user_${"ab".repeat(32)}_account__session_5f0e6f2a-0000-4000-8000-${key.slice(-12).padStart(12, "0")}`;
    return [
      "/api/v1/messages",
      { "x-api-key": key, "anthropic-version": "2023-06-01", "user-agent": "claude-cli/2.0.50 (external, cli)" },
      { model, max_tokens: 500, stream: true, messages, metadata: { user_id } },
    ];
  })();
  try {
    const response = await fetch(`${relay.url}${where}`, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify(body),
      ...more,
    });
    await response.text();
    return response.status;
  } catch {
    return 0;
  }
}

const inDays = (days: number) => new Date(Date.now() + days * 86_400_000).toISOString();
const seconds = (hours: number) => String(Math.round(Date.now() / 1000 + hours * 3600));

/**
 * A week before now: accounts, keys and calls, in a data folder that a relay of now goes on with. The relay's clock is
 * moved by libfaketime; without it (`apt-get install libfaketime`) all of it happens now, and charts are thin.
 */
export async function week(home: string, providerUrl: string): Promise<Rich> {
  const provider = new Provider(providerUrl);
  const clock = PastClock.find(path.join(home, "clock"));
  clock?.set(7 * 24);
  const relay = await startRelay(providerUrl, { TIMEZONE_OFFSET: "8" }, { home, clock });
  const roll = dice(7);
  try {
    const ask = asker(relay);
    const group = await ask<Made & { data?: Made }>("POST", "/admin/account-groups", { name: "Team 产品", platform: "claude", description: "Subscriptions that people share" });
    const accounts: Record<string, string> = {};
    for (const name of Object.keys(ACCOUNTS) as AccountName[]) {
      const { groups, ...input } = { groups: undefined, ...ACCOUNTS[name] };
      const signedIn = ["max", "beijing", "limited", "codex", "gemini", "antigravity"].includes(name);
      const credentials = signedIn
        ? await provider.tokens().then(({ access, refresh }) => ({ type: "oauth", accessToken: access, refreshToken: refresh, expiresAt: inDays(2) }))
        : { type: "apiKey", apiKey: `sk-${name}` };
      const made = await ask<Made & { data?: Made }>("POST", "/admin/accounts", {
        ...input,
        ...(groups ? { groups: [(group.data ?? group).id] } : {}),
        ...(name === "max" ? { subscriptionExpiresAt: inDays(4) } : {}),
        ...(name === "beijing" ? { proxy: { type: "socks5", host: "127.0.0.1", port: 1080 }, isActive: false } : {}),
        credentials,
      });
      accounts[name] = (made.data ?? made).id;
    }
    const keys: Record<string, Made> = {};
    for (const [name, input] of Object.entries(KEYS)) {
      const made = await ask<Made & { data?: Made }>("POST", "/admin/api-keys", input);
      keys[name] = made.data ?? made;
    }
    for (let hour = clock ? 7 * 24 - 2 : 0; hour >= 0; hour -= hour > 50 ? 5 : 1) {
      clock?.set(hour);
      // Nights and the weekend are quieter.
      const busy = 2 + Math.round(7 * Math.max(0.1, Math.sin((((24 * 7 - hour) % 24) / 24) * Math.PI)) * (hour > 100 ? 0.6 : 1));
      const size = () => Math.round(200 + 6_000 * roll() ** 3);
      for (const route of ["messages", "responses", "chatCompletions", "gemini"] as const) {
        const usage = { input: size(), output: size(), cacheRead: Math.round(90_000 * roll()), cacheWrite: Math.round(9_000 * roll()) };
        // But for messages the provider answers by a script whose tokens are fixed.
        const fixed = route !== "messages";
        await provider.answers({ route, answer: { text: "Hello", ...(fixed ? {} : { usage }), delay: Math.round(20 + 250 * roll() ** 2) } });
      }
      if (roll() < 0.25) await provider.answers({ once: true, answer: { status: 400, kind: "invalid_request_error", message: "prompt is too long: 212004 tokens > 200000 maximum" } });
      if (roll() < 0.15) await provider.answers({ once: true, answer: { status: 529, kind: "overloaded_error", message: "Overloaded" } });
      await Promise.all(
        Array.from({ length: busy }, () => {
          let left = roll() * 100;
          const [key, way, model] = MIX.find(([, , , share]) => (left -= share) < 0) ?? MIX[0]!;
          return call(relay, keys[key]?.key ?? "", way, model);
        }),
      );
    }
    return { accounts, keys, stop: () => {} };
  } finally {
    await relay.stop();
  }
}

/** What holds now: accounts in every state, keys at their limits, refusals, calls that run, entries of the audit. */
export async function today(console: Console, rich: Rich): Promise<Rich> {
  const { relay, provider } = console;
  const ask: Ask = (method, where, body) => console.api(method, where, body);
  const { accounts, keys } = rich;
  const made = async (where: string, body: unknown) => {
    const answer = await ask<Made & { data?: Made }>("POST", where, body);
    return answer.data ?? answer;
  };
  const bound = await made("/admin/api-keys", { name: "Operator's trials", tags: ["ops"] });
  const through = async (name: AccountName, model = "claude-sonnet-4-5") => {
    await ask("PATCH", `/admin/api-keys/${bound.id}`, { claudeAccountId: accounts[name] });
    return call(relay, bound.key ?? "", "claude", model);
  };

  // What providers say of windows.
  const windows = { "anthropic-ratelimit-unified-5h-utilization": "0.62", "anthropic-ratelimit-unified-5h-reset": seconds(2.3), "anthropic-ratelimit-unified-7d-utilization": "0.41", "anthropic-ratelimit-unified-7d-reset": seconds(91), "anthropic-ratelimit-unified-7d_opus-utilization": "0.97", "anthropic-ratelimit-unified-7d_opus-reset": seconds(91) };
  await provider.answers({ once: true, answer: { text: "Hello", headers: windows } });
  await through("max");
  const codex = { "x-codex-primary-used-percent": "84", "x-codex-primary-reset-after-seconds": "5400", "x-codex-secondary-used-percent": "37", "x-codex-secondary-reset-after-seconds": "260000" };
  await provider.answers({ route: "responses", answer: { text: "Hello", headers: codex } });
  for (let n = 0; n < 3; n += 1) await call(relay, keys.codex?.key ?? "", "openai", "gpt-5.1-codex");

  // Each account's own trouble.
  const trouble = async (name: AccountName, answer: Parameters<Provider["answers"]>[0]["answer"], model?: string) => {
    await provider.answers({ credential: `sk-${name}`, answer });
    await through(name, model);
  };
  await trouble("refused", { status: 401, kind: "authentication_error", message: "invalid x-api-key" });
  await provider.answers({ once: true, answer: { status: 429, kind: "rate_limit_error", message: "This request would exceed your account's rate limit.", headers: { "anthropic-ratelimit-unified-status": "rejected", "anthropic-ratelimit-unified-reset": seconds(1.6), "anthropic-ratelimit-unified-5h-utilization": "1.0", "anthropic-ratelimit-unified-5h-reset": seconds(1.6), "anthropic-ratelimit-unified-7d-utilization": "0.78", "anthropic-ratelimit-unified-7d-reset": seconds(40) } } });
  await through("limited");
  await trouble("throttled", { status: 429, kind: "rate_limit_error", message: "Number of requests has exceeded your per-minute rate limit", headers: { "retry-after": "900" } }, "claude-opus-4-5");
  await trouble("long", { status: 529, kind: "overloaded_error", message: "Overloaded" });
  await ask("PATCH", `/admin/accounts/${accounts.quota}`, { dailyQuota: 0.05 });
  await trouble("quota", { text: "Hello", usage: { input: 20_000, output: 9_000 } });
  await ask("PATCH", `/admin/accounts/${accounts.ended}`, { subscriptionExpiresAt: inDays(-3) });
  await ask("PATCH", `/admin/accounts/${accounts.beijing}`, { isActive: true, proxy: null });

  // Calls that run on while the pictures are taken: one fills an account, one is someone's.
  const end = new AbortController();
  await provider.answers({ credential: "sk-busy", answer: { text: "Hello", delay: 3_600_000 } });
  await ask("PATCH", `/admin/api-keys/${bound.id}`, { claudeAccountId: accounts.busy });
  void call(relay, bound.key ?? "", "claude", "claude-sonnet-4-5", { signal: end.signal });

  // Keys: at 96 % of a limit, over it, nearly out of their total, ended, deleted.
  const spent = async (name: string) => {
    const key = await ask<{ data?: unknown } & Record<string, unknown>>("GET", `/admin/api-keys/${keys[name]?.id}`);
    const { spend } = (key.data ?? key) as { spend: Record<"day" | "total", { spent: number }> };
    return { day: spend.day.spent, total: spend.total.spent };
  };
  const share = (amount: number, part: number) => Math.max(0.01, Math.round((amount / part) * 100) / 100);
  await ask("PATCH", `/admin/api-keys/${keys.near?.id}`, { dailyCostLimit: share((await spent("near")).day, 0.96) });
  await ask("PATCH", `/admin/api-keys/${keys.over?.id}`, { dailyCostLimit: share((await spent("over")).day, 1.2) });
  await ask("PATCH", `/admin/api-keys/${keys.total?.id}`, { totalCostLimit: share((await spent("total")).total, 0.91), expiresAt: inDays(2) });
  const ended = await made("/admin/api-keys", { name: "Workshop November", tags: ["trial"], expiresAt: inDays(-1) });
  const deleted = await made("/admin/api-keys", { name: "Deleted by mistake?" });
  await ask("DELETE", `/admin/api-keys/${deleted.id}`);
  for (let n = 1; n <= 22; n += 1) {
    await ask("POST", "/admin/api-keys", { name: n % 3 ? `Student ${n}` : `学员 ${n} 号`, tags: ["course"], dailyCostLimit: 2, expiresAt: inDays(20 + n) });
  }

  // Calls that no provider saw.
  for (const [key, model, times] of [[keys.over, "claude-sonnet-4-5", 7], [keys.haiku, "claude-opus-4-5", 3], [keys.off, "claude-sonnet-4-5", 2], [ended, "claude-sonnet-4-5", 4], [keys.codex, "claude-sonnet-4-5", 1]] as const) {
    for (let n = 0; n < times; n += 1) await call(relay, key?.key ?? "", "claude", model);
  }
  await call(relay, "cr_0000000000000000000000000000000000000000000000000000000000000000", "claude", "claude-sonnet-4-5");
  // One goes through two accounts, one breaks off.
  await provider.answers({ once: true, answer: { status: 500, message: "Internal server error" } });
  await call(relay, keys.ada?.key ?? "", "claude", "claude-sonnet-4-5");
  await provider.answers({ once: true, answer: { text: "Hello, and then", cutAfter: 3 } });
  await call(relay, keys.wang?.key ?? "", "claude", "claude-sonnet-4-5");
  return { ...rich, keys: { ...keys, bound, ended, deleted }, stop: () => end.abort() };
}
