/**
 * The clients that people connect, and what each needs to be told. One table: the console's pages, README.md and the
 * tests that run the real clients take it from here.
 *
 * The names of variables and settings are those of Claude Code 2.1.332, Codex 0.171.0, Gemini CLI 0.61.0 and of the
 * SDKs anthropic 2.12, openai 3.54, google-genai 3.4, each tried through a relay.
 */

import type { Variable } from './shells.ts'

export interface Connection {
  /** Where the relay is: scheme, host and port, such as `https://relay.example.com`. */
  readonly address: string
  readonly key: string
}

/** A file of settings, below the user's home. */
export interface SettingsFile {
  readonly path: string
  readonly language: 'toml' | 'json'
  readonly text: string
}

export interface Client {
  readonly id: string
  /** A proper name, the same in every language. */
  readonly name: string
  /** Whose accounts answer. */
  readonly accounts: 'claude' | 'gemini' | 'antigravity' | 'openai'
  /** Which right a key needs. */
  readonly right: 'claude' | 'gemini' | 'openai'
  /** What starts it in a terminal. */
  readonly command?: string
  readonly variables?: (to: Connection) => readonly Variable[]
  readonly files?: (to: Connection) => readonly SettingsFile[]
  /** A setting that keeps the variables for good, in place of the shell's own start file. */
  readonly lasting?: (to: Connection) => readonly SettingsFile[]
  /** A program that makes one call. */
  readonly python?: (to: Connection) => string
  /** What a tool's own form asks for. */
  readonly form?: (to: Connection) => { baseUrl: string; key: string; model: string }
}

const json = (value: unknown) => JSON.stringify(value, null, 2)

const claudeCode = (path: string, more: readonly Variable[] = []): Pick<Client, 'command' | 'variables' | 'lasting'> => {
  const variables = ({ address, key }: Connection): readonly Variable[] => [
    ['ANTHROPIC_BASE_URL', `${address}${path}`],
    ['ANTHROPIC_AUTH_TOKEN', key],
    ...more,
  ]
  return {
    command: 'claude',
    variables,
    lasting: (to) => [
      { path: '.claude/settings.json', language: 'json', text: json({ env: Object.fromEntries(variables(to)) }) },
    ],
  }
}

/** A text in quotes, as TOML, JSON and Python read it alike. */
const text = (value: string) => JSON.stringify(value)

const codexConfig = ({ address }: Connection) =>
  [
    'model_provider = "crs"',
    '',
    '[model_providers.crs]',
    'name = "crs"',
    `base_url = ${text(`${address}/openai`)}`,
    'wire_api = "responses"',
    'env_key = "CRS_OAI_KEY"',
  ].join('\n')

export const CLIENTS = [
  { id: 'claude-code', name: 'Claude Code', accounts: 'claude', right: 'claude', ...claudeCode('/api/') },
  {
    id: 'codex',
    name: 'Codex',
    accounts: 'openai',
    right: 'openai',
    command: 'codex',
    variables: ({ key }) => [['CRS_OAI_KEY', key]],
    files: (to) => [{ path: '.codex/config.toml', language: 'toml', text: codexConfig(to) }],
  },
  {
    id: 'gemini-cli',
    name: 'Gemini CLI',
    accounts: 'gemini',
    right: 'gemini',
    command: 'gemini',
    variables: ({ address, key }) => [
      ['GOOGLE_GEMINI_BASE_URL', `${address}/gemini`],
      ['GEMINI_API_KEY', key],
    ],
    files: () => [
      {
        path: '.gemini/settings.json',
        language: 'json',
        text: '{"security": {"auth": {"selectedType": "gemini-api-key"}}}',
      },
    ],
  },
  {
    id: 'gemini-cli-login',
    name: 'Gemini CLI (Code Assist)',
    accounts: 'gemini',
    right: 'gemini',
    command: 'gemini',
    variables: ({ address, key }) => [
      ['CODE_ASSIST_ENDPOINT', `${address}/gemini`],
      ['GOOGLE_CLOUD_ACCESS_TOKEN', key],
      ['GOOGLE_GENAI_USE_GCA', 'true'],
    ],
  },
  {
    id: 'claude-code-gemini',
    name: 'Claude Code → Gemini',
    accounts: 'gemini',
    right: 'gemini',
    ...claudeCode('/gemini-cli/api/', [
      ['ANTHROPIC_MODEL', 'gemini-2.5-pro'],
      ['ANTHROPIC_DEFAULT_HAIKU_MODEL', 'gemini-2.5-flash'],
    ]),
  },
  {
    id: 'claude-code-antigravity',
    name: 'Claude Code → Antigravity',
    accounts: 'antigravity',
    right: 'gemini',
    ...claudeCode('/antigravity/api/', [
      ['ANTHROPIC_MODEL', 'gemini-3-pro-high'],
      ['ANTHROPIC_DEFAULT_HAIKU_MODEL', 'gemini-2.5-flash'],
    ]),
  },
  {
    id: 'anthropic-sdk',
    name: 'Anthropic SDK',
    accounts: 'claude',
    right: 'claude',
    python: ({ address, key }) => `from anthropic import Anthropic

client = Anthropic(base_url=${text(`${address}/api`)}, api_key=${text(key)})
message = client.messages.create(
    model="claude-sonnet-4-5",
    max_tokens=1024,
    messages=[{"role": "user", "content": "Say hello."}],
)
print(message.content[0].text)`,
  },
  {
    id: 'openai-sdk',
    name: 'OpenAI SDK',
    accounts: 'openai',
    right: 'openai',
    python: ({ address, key }) => `from openai import OpenAI

client = OpenAI(base_url=${text(`${address}/openai/v1`)}, api_key=${text(key)})
print(client.responses.create(model="gpt-5", input="Say hello.").output_text)`,
  },
  {
    id: 'google-sdk',
    name: 'Google Gen AI SDK',
    accounts: 'gemini',
    right: 'gemini',
    python: ({ address, key }) => `from google import genai

client = genai.Client(api_key=${text(key)}, http_options={"base_url": ${text(`${address}/gemini`)}})
print(client.models.generate_content(model="gemini-2.5-flash", contents="Say hello.").text)`,
  },
  {
    id: 'chat-openai',
    name: 'Chat Completions → OpenAI',
    accounts: 'openai',
    right: 'openai',
    form: ({ address, key }) => ({ baseUrl: `${address}/openai/v1`, key, model: 'gpt-5' }),
  },
  {
    id: 'chat-claude',
    name: 'Chat Completions → Claude',
    accounts: 'claude',
    right: 'claude',
    form: ({ address, key }) => ({ baseUrl: `${address}/openai/claude/v1`, key, model: 'claude-sonnet-4-5' }),
  },
  {
    id: 'chat-gemini',
    name: 'Chat Completions → Gemini',
    accounts: 'gemini',
    right: 'gemini',
    form: ({ address, key }) => ({ baseUrl: `${address}/openai/gemini/v1`, key, model: 'gemini-2.5-flash' }),
  },
] as const satisfies readonly Client[]

export type ClientId = (typeof CLIENTS)[number]['id']

/** @throws if there is no such client. */
export function client(id: ClientId): Client {
  const found = (CLIENTS as readonly Client[]).find((one) => one.id === id)
  if (!found) throw new Error(`no client ${id}`)
  return found
}
