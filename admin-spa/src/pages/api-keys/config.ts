import type { Key, NewKeyInput } from '@/api'
import { MONEY_FIELDS, type MoneyField } from '@/lib/limits'
import { usd, type Usd } from '@/lib/money'

/** What people set of a key. */
export const CONFIG = [
  'name', 'description', 'tags', ...MONEY_FIELDS, 'weeklyResetDay', 'weeklyResetHour', 'rateLimitWindow', 'rateLimitRequests', 'tokenLimit', 'rateLimitCost',
  'concurrencyLimit', 'concurrencyQueueSize', 'concurrencyQueueTimeout', 'expirationMode', 'expiresAt', 'activationDays', 'activationUnit', 'permissions', 'enableModelRestriction', 'modelRestrictionMode', 'restrictedModels',
  'enableClientRestriction', 'allowedClients', 'bindings', 'bindingFallback', 'routes', 'allowTrace',
] as const
export type KeyConfig = Pick<Key, (typeof CONFIG)[number]>

export const pickConfig = (key: Key) => Object.fromEntries(CONFIG.map((name) => [name, key[name] ?? null])) as unknown as KeyConfig

const noMoneyLimits = () => Object.fromEntries(MONEY_FIELDS.map((field) => [field, usd(0)])) as Record<MoneyField, Usd>

/** A key without limits. The server's standard for the week: Monday, 0:00. */
export const emptyConfig = (): KeyConfig => ({
  name: '', description: '', tags: [], ...noMoneyLimits(), weeklyResetDay: 1, weeklyResetHour: 0,
  rateLimitWindow: 0, rateLimitRequests: 0, tokenLimit: 0, rateLimitCost: usd(0), concurrencyLimit: 0, concurrencyQueueSize: 0, concurrencyQueueTimeout: 0,
  expirationMode: 'fixed', expiresAt: null, activationDays: 0, activationUnit: 'days', permissions: [], enableModelRestriction: false, modelRestrictionMode: 'deny', restrictedModels: [],
  enableClientRestriction: false, allowedClients: [], bindings: {}, bindingFallback: false, routes: [], allowTrace: false,
})

export const PRESETS = ['none', 'person', 'ci', 'trial'] as const
export type Preset = (typeof PRESETS)[number]

/** Proposals for common cases. They set limits only, so that what was typed stays. */
export function preset(name: Preset): Partial<KeyConfig> {
  const { concurrencyLimit, expirationMode, activationDays, activationUnit } = emptyConfig()
  const none = { ...noMoneyLimits(), concurrencyLimit, expirationMode, activationDays, activationUnit }
  switch (name) {
    case 'none': return none
    case 'person': return { ...none, dailyCostLimit: usd(20), weeklyCostLimit: usd(80), concurrencyLimit: 5 }
    case 'ci': return { ...none, dailyCostLimit: usd(10), concurrencyLimit: 10 }
    case 'trial': return { ...none, totalCostLimit: usd(5), concurrencyLimit: 2, expirationMode: 'activation', activationDays: 7 }
  }
}

/** What is sent for a new key: only what differs from the server's standard. */
export const newKeyBody = (patch: Partial<KeyConfig>, name: string): NewKeyInput => ({ ...patch, name: name.trim() }) as NewKeyInput

/** The later of now and the end, and so many days on. */
export function extended(expiresAt: string | null | undefined, days: number, now: number): string {
  const from = Math.max(now, expiresAt ? Date.parse(expiresAt) : now)
  return new Date(from + days * 86_400_000).toISOString()
}
