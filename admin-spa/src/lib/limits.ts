import type { Key, SpendPeriod, StatsLimit } from '@/api/generated/types.gen'

/**
 * The limits on money, as the relay has them, in the order in which they are shown. `sum`: the name of what was spent of
 * it. `hint`: when it resets, below its field. `some`: it refuses some calls only, and the others go on.
 */
export const MONEY = [
  { limit: 'dailyCost', field: 'dailyCostLimit', sum: 'day', hint: 'day', some: false },
  { limit: 'weeklyCost', field: 'weeklyCostLimit', sum: 'week', hint: 'week', some: false },
  { limit: 'weeklyOpusCost', field: 'weeklyOpusCostLimit', sum: 'weekOpus', hint: 'week', some: true },
  { limit: 'monthlyCost', field: 'monthlyCostLimit', sum: 'month', hint: 'month', some: false },
  { limit: 'totalCost', field: 'totalCostLimit', sum: 'total', hint: 'total', some: false },
] as const satisfies readonly { limit: StatsLimit; field: keyof Key; sum: SpendPeriod; hint: string; some: boolean }[]
export type MoneyLimit = (typeof MONEY)[number]
export const MONEY_FIELDS = MONEY.map((one) => one.field)
export type MoneyField = MoneyLimit['field']

/** A limit of a key, and how much of it is used. */
export interface Limit {
  limit: StatsLimit
  /** The field of `Key` that sets it. */
  field: MoneyField | 'rateLimitRequests' | 'tokenLimit' | 'rateLimitCost' | 'concurrencyLimit'
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
  const money = ({ limit, field, sum }: MoneyLimit): Limit => ({
    limit, field, unit: 'usd', most: key[field], used: spend?.[sum].spent ?? (unused ? 0 : undefined), reserved: spend?.[sum].reserved ?? 0, resetsAt: spend?.[sum].resetsAt ?? null,
  })
  const counted = (limit: Limit['limit'], field: Limit['field'], unit: Limit['unit'], most: number, used: number | undefined, reserved: number): Limit => ({
    limit, field, unit, most, used: window ? used : known ? 0 : undefined, reserved: window ? reserved : 0, resetsAt: window?.end ?? null,
  })
  const windowed = key.rateLimitWindow > 0
  const all = [
    ...MONEY.map(money),
    counted('windowRequests', 'rateLimitRequests', 'requests', windowed ? key.rateLimitRequests : 0, window?.requests, 0),
    counted('windowTokens', 'tokenLimit', 'tokens', windowed ? key.tokenLimit : 0, window?.tokens, window?.reserved.tokens ?? 0),
    counted('windowCost', 'rateLimitCost', 'usd', windowed ? key.rateLimitCost : 0, window?.cost, window?.reserved.cost ?? 0),
    { limit: 'concurrency', field: 'concurrencyLimit', unit: 'calls', most: key.concurrencyLimit, used: key.currentConcurrency ?? undefined, reserved: 0, resetsAt: null } satisfies Limit,
  ]
  return all.filter((one) => one.most > 0).sort((a, b) => percentOf(b) - percentOf(a))
}
