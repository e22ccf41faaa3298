import type { Account, AccountInput, KeyHeader } from '@/api'
import type { Usd } from '@/lib/money'

/** What people set of an account, without its secrets and its proxy. */
export const CONFIG = ['name', 'description', 'priority', 'maxConcurrency', 'dailyQuota', 'reservePercent', 'groups', 'shared', 'supportedModels', 'modelMapping', 'subscriptionExpiresAt', 'keyHeader', 'userAgent', 'chatOnly', 'apiVersion'] as const
export type AccountField = (typeof CONFIG)[number]

export interface AccountConfig {
  name: string
  description: string
  /** Lower is chosen first. */
  priority: number
  maxConcurrency: number
  dailyQuota: Usd
  reservePercent: number
  groups: string[]
  shared: boolean
  /** Empty: all. */
  supportedModels: string[]
  modelMapping: Record<string, string>
  /** ISO 8601; `null`: never. */
  subscriptionExpiresAt: string | null
  /** `null`: as its platform's keys are. */
  keyHeader: KeyHeader | null
  /** Empty: the client's own. */
  userAgent: string
  /** The host supports only Chat Completions. */
  chatOnly: boolean
  /** The version of Azure's dated API; empty: none. */
  apiVersion: string
}

export const pickConfig = (account: Account): AccountConfig => ({
  name: account.name,
  description: account.description,
  priority: account.priority,
  maxConcurrency: account.maxConcurrency,
  dailyQuota: account.dailyQuota,
  reservePercent: account.reservePercent,
  groups: [...account.groups],
  shared: account.shared,
  supportedModels: [...(account.supportedModels ?? [])],
  modelMapping: { ...account.modelMapping },
  subscriptionExpiresAt: account.subscriptionExpiresAt ?? null,
  keyHeader: account.keyHeader ?? null,
  userAgent: account.userAgent ?? '',
  chatOnly: account.chatOnly,
  apiVersion: account.apiVersion ?? '',
})

/** The headers that an API key may be sent in. */
export const HEADERS = ['x-api-key', 'authorization', 'api-key'] as const satisfies readonly KeyHeader[]

/** Whether the account is one whose key and name its host sees as the operator says. */
export const hasHost = ({ platform, credentials }: Pick<Account, 'platform' | 'credentials'>) => credentials.type === 'entraApp' || (credentials.type === 'apiKey' && (platform === 'claude' || platform === 'openai'))

/** What PATCH is sent: no models are all models, an empty version is none. */
export function patchBody(patch: Partial<AccountConfig>): AccountInput {
  const { supportedModels, apiVersion, ...rest } = patch
  return { ...rest, ...(apiVersion === undefined ? {} : { apiVersion: apiVersion.trim() || null }), ...(supportedModels ? { supportedModels: supportedModels.length ? supportedModels : null } : {}) }
}

const lines = (text: string) => text.split('\n').map((line) => line.trim()).filter(Boolean)
export const readLines = (text: string): string[] => [...new Set(lines(text))]
export const writeLines = (values: readonly string[]) => values.join('\n')

/** Lines of `from = to`; `undefined`: a line is none. */
export function readMapping(text: string): Record<string, string> | undefined {
  const mapping: Record<string, string> = {}
  for (const line of lines(text)) {
    const [from, to, ...more] = line.split(/\s*(?:=>|->|→|=)\s*/)
    if (!from || !to || more.length) return undefined
    mapping[from] = to
  }
  return mapping
}
export const writeMapping = (mapping: Record<string, string>) => Object.entries(mapping).map(([from, to]) => `${from} = ${to}`).join('\n')

/** A moment as a date input has it, of the browser's day; empty: none. */
export function dateOf(iso: string | null): string {
  if (!iso) return ''
  const at = new Date(iso)
  const two = (value: number) => String(value).padStart(2, '0')
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`
}
/** The end of that day, so that a subscription works on its last one. */
export const endOfDay = (date: string) => (/^\d{4}-\d\d-\d\d$/.test(date) ? new Date(`${date}T23:59:59`).toISOString() : null)
