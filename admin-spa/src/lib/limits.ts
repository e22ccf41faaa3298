import type { Key } from '@/api/generated/types.gen'

/** A limit of a key, and how much of it is used. */
export interface Limit {
  limit: 'dailyCost' | 'weeklyCost' | 'weeklyOpusCost' | 'totalCost' | 'windowRequests' | 'windowTokens' | 'windowCost' | 'concurrency'
  /** The field of `Key` that sets it. */
  field: 'dailyCostLimit' | 'weeklyCostLimit' | 'weeklyOpusCostLimit' | 'totalCostLimit' | 'rateLimitRequests' | 'tokenLimit' | 'rateLimitCost' | 'concurrencyLimit'
  unit: 'usd' | 'requests' | 'tokens' | 'calls'
  most: number
  /** Without what is reserved; `undefined`: the key's gate cannot be asked. */
  used: number | undefined
  /** What calls that run now may still use of it. */
  reserved: number
  resetsAt: string | null
}

/** Which share of a limit is used or reserved, in percent. */
export const percentOf = (limit: Limit) => (((limit.used ?? 0) + limit.reserved) / limit.most) * 100

/** The limits that are set, the tightest first. `now`: milliseconds; a window that is over counts as empty. */
export function limitsOf(key: Key, now: number): Limit[] {
  const { spend } = key
  const window = key.window && Date.parse(key.window.end) > now ? key.window : null
  // A gate asks the ledger with the first call: of a key without calls there is nothing to ask.
  const unused = !key.lastUsedAt
  const known = key.window !== undefined && key.currentConcurrency != null
  const period = (limit: Limit['limit'], field: Limit['field'], most: number, of: 'day' | 'week' | 'weekOpus' | 'total'): Limit => ({
    limit, field, unit: 'usd', most, used: spend?.[of].spent ?? (unused ? 0 : undefined), reserved: spend?.[of].reserved ?? 0, resetsAt: spend?.[of].resetsAt ?? null,
  })
  const counted = (limit: Limit['limit'], field: Limit['field'], unit: Limit['unit'], most: number, used: number | undefined, reserved: number): Limit => ({
    limit, field, unit, most, used: window ? used : known ? 0 : undefined, reserved: window ? reserved : 0, resetsAt: window?.end ?? null,
  })
  const windowed = key.rateLimitWindow > 0
  const all = [
    period('dailyCost', 'dailyCostLimit', key.dailyCostLimit, 'day'),
    period('weeklyCost', 'weeklyCostLimit', key.weeklyCostLimit, 'week'),
    period('weeklyOpusCost', 'weeklyOpusCostLimit', key.weeklyOpusCostLimit, 'weekOpus'),
    period('totalCost', 'totalCostLimit', key.totalCostLimit, 'total'),
    counted('windowRequests', 'rateLimitRequests', 'requests', windowed ? key.rateLimitRequests : 0, window?.requests, 0),
    counted('windowTokens', 'tokenLimit', 'tokens', windowed ? key.tokenLimit : 0, window?.tokens, window?.reserved.tokens ?? 0),
    counted('windowCost', 'rateLimitCost', 'usd', windowed ? key.rateLimitCost : 0, window?.cost, window?.reserved.cost ?? 0),
    { limit: 'concurrency', field: 'concurrencyLimit', unit: 'calls', most: key.concurrencyLimit, used: key.currentConcurrency ?? undefined, reserved: 0, resetsAt: null } satisfies Limit,
  ]
  return all.filter((one) => one.most > 0).sort((a, b) => percentOf(b) - percentOf(a))
}
