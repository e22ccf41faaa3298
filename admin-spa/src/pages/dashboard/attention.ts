import { pricePath } from '@/lib/prices'
import type { AccountReason, AccountTrouble, Health, NearLimit, Overview, Platform, Usd } from '@/api'

/** Something that needs a person, with where to act. */
export type Attention =
  | { kind: 'lost'; count: number; to: string }
  | { kind: 'blocked'; platform: Platform; accounts: number; until: string | null; to: string }
  | { kind: 'poolAway'; platform: Platform; to: string }
  | { kind: 'account'; id: string; name: string; platform: Platform; code: AccountReason; detail: string | null; to: string }
  | { kind: 'nearLimit'; id: string; name: string; level: NearLimit['level']; percent: number; to: string }
  | { kind: 'endingKey'; id: string; name: string; until: string; to: string }
  | { kind: 'endingSubscription'; id: string; name: string; platform: Platform; until: string; to: string }
  | { kind: 'unpriced'; model: string; cost: Usd; requests: number; to: string }

/** Worst first: what stops calls now, what stops some, what will. */
const order = ['lost', 'blocked', 'account', 'poolAway', 'nearLimit', 'endingKey', 'endingSubscription', 'unpriced'] as const

export const toneOf = (one: Attention): 'bad' | 'warn' => {
  if (one.kind === 'nearLimit') return one.percent >= 100 ? 'bad' : 'warn'
  return ['lost', 'blocked', 'account'].includes(one.kind) ? 'bad' : 'warn'
}

/** What tells entries apart, for lists. */
export const keyOf = (one: Attention) => `${one.kind} ${'id' in one ? one.id : 'platform' in one ? one.platform : 'model' in one ? one.model : ''}`

export const accountPath = (id: string) => `/accounts/${encodeURIComponent(id)}`
export const keyPath = (id: string) => `/api-keys/${encodeURIComponent(id)}`

/** Calls that no provider saw, since the relay refused them. */
export interface RefusedCalls {
  today: number
  yesterday: number
}
export const refusedOf = ({ items }: { items: readonly RefusedCalls[] }): RefusedCalls => ({
  today: items.reduce((sum, one) => sum + one.today, 0),
  yesterday: items.reduce((sum, one) => sum + one.yesterday, 0),
})

/** An account that needs a person: it does not return by itself. */
const needsPerson = (one: AccountTrouble) => one.until == null

/** All that needs a person, the worst first. `health` may not be there yet. */
export function attentionOf(overview: Overview, health?: Health): Attention[] {
  const lost = health?.components.ledger.lost ?? 0
  const all: Attention[] = [
    ...(lost > 0 ? [{ kind: 'lost' as const, count: lost, to: '/usage' }] : []),
    ...overview.platforms
      .filter((one) => one.blocked)
      .map((one) => ({ kind: 'blocked' as const, platform: one.platform, accounts: one.accounts, until: one.backAt ?? null, to: `/accounts?platform=${one.platform}` })),
    ...overview.poolsAway.map((platform) => ({ kind: 'poolAway' as const, platform, to: `/accounts?platform=${platform}` })),
    ...overview.trouble.filter(needsPerson).map((one) => ({
      kind: 'account' as const, id: one.accountId, name: one.accountName, platform: one.platform, code: one.code, detail: one.reason ?? null, to: accountPath(one.accountId),
    })),
    ...overview.nearLimit.map((one) => ({ kind: 'nearLimit' as const, id: one.keyId, name: one.keyName, level: one.level, percent: one.usedPercent, to: keyPath(one.keyId) })),
    ...overview.endingKeys.map((one) => ({ kind: 'endingKey' as const, id: one.keyId, name: one.keyName, until: one.endsAt, to: keyPath(one.keyId) })),
    ...overview.endingSubscriptions.map((one) => ({
      kind: 'endingSubscription' as const, id: one.accountId, name: one.accountName, platform: one.platform, until: one.endsAt, to: accountPath(one.accountId),
    })),
    ...overview.unpricedModels.map((one) => ({ kind: 'unpriced' as const, model: one.model, cost: one.cost, requests: one.requests, to: pricePath(one.model) })),
  ]
  return all.sort((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind))
}

/** Accounts that return by themselves, the soonest first. */
export const returningOf = (overview: Overview) => overview.trouble.filter((one) => !needsPerson(one))

/** How many the answer leaves out of what it counts. */
export function leftOut(overview: Overview): number {
  const { trouble, troubleCount, endingKeys, endingKeysCount, endingSubscriptions, endingSubscriptionsCount } = overview
  return troubleCount - trouble.length + endingKeysCount - endingKeys.length + endingSubscriptionsCount - endingSubscriptions.length
}

export interface Step {
  name: 'account' | 'key' | 'connect'
  to: string
  done: boolean
}

/** The way to the first call; `undefined` once somebody has made one. */
export function firstSteps(overview: Overview): Step[] | undefined {
  if (overview.requests > 0) return undefined
  return [
    { name: 'account', to: '/accounts/new', done: overview.platforms.length > 0 },
    { name: 'key', to: '/api-keys/new', done: overview.keys.total > 0 },
    { name: 'connect', to: '/tutorial', done: false },
  ]
}
