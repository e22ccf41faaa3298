// Some accounts, keys and calls, so that pages have something to show.

import type { Console } from "./console.ts";

interface Made {
  id: string;
  key?: string;
}

export interface Seed {
  accounts: string[];
  keys: Made[];
}

export async function seed(console: Console): Promise<Seed> {
  const make = async (path: string, body: unknown): Promise<Made> => {
    const made = await console.api<Made & { data?: Made }>("POST", path, body);
    return made.data ?? made;
  };
  const accounts: string[] = [];
  for (const [name, apiKey] of [
    ["Team account", "sk-ant-one"],
    ["Spare <b>account</b> \" onload=x", "sk-ant-two"],
  ]) {
    const account = await make("/admin/accounts", {
      name,
      platform: "claude",
      credentials: { type: "apiKey", apiKey },
    });
    accounts.push(account.id);
  }
  const keys = [
    await make("/admin/api-keys", { name: "Ada's laptop", tags: ["team"], dailyCostLimit: 10 }),
    await make("/admin/api-keys", { name: `CI ${"x".repeat(60)}`, tags: ["ci"] }),
    await make("/admin/api-keys", { name: "Off", isActive: false }),
  ];
  const call = async (text: string, model = "claude-sonnet-4-5") => {
    const response = await fetch(`${console.relay.url}/api/v1/messages`, {
      method: "POST",
      headers: {
        "x-api-key": keys[0]?.key ?? "",
        "content-type": "application/json",
        "anthropic-version": "2023-06-01",
      },
      body: JSON.stringify({ model, max_tokens: 100, messages: [{ role: "user", content: text }] }),
    });
    await response.text();
  };
  await call("hello");
  await call("again", "claude-opus-4-5");
  await console.provider.answers({ once: true, answer: { status: 400, message: "the prompt is too long" } });
  await call("too long");
  return { accounts, keys };
}
