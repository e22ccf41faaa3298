// Says what the scripted provider answers; the other side is tests/support/src/provider/control.rs.

export interface Answer {
  text?: string;
  status?: number;
  kind?: string;
  message?: string;
  model?: string;
  usage?: { input?: number; output?: number; cacheRead?: number; cacheWrite?: number };
  headers?: Record<string, string>;
  /** Milliseconds before the head. */
  delay?: number;
  /** Milliseconds between two events of a stream. */
  every?: number;
  /** The stream is cut after so many events. */
  cutAfter?: number;
}

export interface Order {
  route?: "messages" | "responses" | "chatCompletions" | "gemini" | "token";
  credential?: string;
  once?: boolean;
  answer: Answer;
}

export interface Call {
  number: number;
  method: string;
  target: string;
  credential: string | null;
  body: string;
}

export class Provider {
  readonly url: string;

  constructor(url: string) {
    this.url = url;
  }

  /** Answers like this from now on, or once. */
  async answers(order: Order): Promise<void> {
    await this.#ask("script", order);
  }

  /** A pair of tokens that the provider knows. */
  async tokens(expired = false): Promise<{ access: string; refresh: string }> {
    return (await this.#ask("tokens", { expired })) as { access: string; refresh: string };
  }

  /** A person opens the address of a sign-in and says yes; what the browser would be led to. */
  async allow(address: string): Promise<{ code: string; state: string; callback: string; denied: string }> {
    return (await this.#ask("allow", { address })) as Awaited<ReturnType<Provider["allow"]>>;
  }

  /** Accepts requests signed with these access keys of Amazon's. */
  async takesAccessKeys(id: string, secret: string): Promise<void> {
    await this.#ask("access-keys", { id, secret });
  }

  /** Gives tokens to this application of Microsoft Entra. */
  async takesEntraApp(tenant: string, client: string, secret: string): Promise<void> {
    await this.#ask("entra-app", { tenant, client, secret });
  }

  /** The key file of a service account of Google's that the provider accepts. */
  async serviceAccount(email: string): Promise<object> {
    return (await this.#ask("service-account", { email })) as object;
  }

  /** Every call so far. */
  async calls(): Promise<Call[]> {
    return (await this.#ask("requests")) as Call[];
  }

  /** Forgets the calls so far. */
  async forget(): Promise<void> {
    await this.#ask("forget", {});
  }

  async #ask(verb: string, body?: unknown): Promise<unknown> {
    const response = await fetch(`${this.url}/control/${verb}`, {
      method: body === undefined ? "GET" : "POST",
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`the provider does not understand ${verb}: ${text}`);
    return text === "" ? undefined : JSON.parse(text);
  }
}
