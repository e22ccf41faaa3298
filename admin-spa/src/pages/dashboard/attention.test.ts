import { expect, test } from 'vitest'
import type { Health, Overview, UsagePoint } from '@/api'
import { usd } from '@/lib/money'
import { attentionOf, firstSteps, keyOf, leftOut, returningOf, toneOf } from './attention'
import { twoDays } from './hours'

const empty: Overview = {
  asOf: '2026-01-31T00:00:00Z', keys: { total: 0, active: 0, disabled: 0, expired: 0, deleted: 0 }, nearLimit: [], nearLimitComplete: true, endingKeys: [], endingKeysCount: 0, platforms: [], trouble: [], troubleCount: 0,
  endingSubscriptions: [], endingSubscriptionsCount: 0, unpricedModels: [], running: 0, requests: 0, poolsAway: [],
}
const trouble = (id: string, until: string | null) => ({ accountId: id, accountName: id, platform: 'claude' as const, status: 'x', code: 'credentials_refused' as const, reason: null, until })
const near = (id: string, usedPercent: number) => ({ keyId: id, keyName: id, usedPercent, level: { limit: 'dailyCost' as const, unit: 'usd' as const, most: 10, used: usedPercent / 10, reserved: 0, left: 0, resetsAt: null } })
const lost = (count: number | null) => ({ components: { ledger: { lost: count } } }) as Health

test('what stops calls comes before what will, and what heals by itself needs nobody', () => {
  const overview: Overview = {
    ...empty,
    endingKeys: [{ keyId: 'k1', keyName: 'k1', endsAt: '2026-02-01T00:00:00Z' }], endingKeysCount: 3,
    nearLimit: [near('k2', 100), near('k3', 91)],
    trouble: [trouble('a/1', null), trouble('a2', '2026-01-31T01:00:00Z')], troubleCount: 2,
    platforms: [
      { platform: 'claude', accounts: 2, byStatus: {}, usable: 0, blocked: true, backAt: '2026-01-31T01:00:00Z' },
      { platform: 'openai', accounts: 1, byStatus: {}, usable: 1, blocked: false, backAt: null },
    ],
    unpricedModels: [{ model: 'house', requests: 1, cost: usd(1) }],
  }
  const items = attentionOf(overview, lost(2))
  expect(items.map(keyOf)).toEqual(['lost ', 'blocked claude', 'account a/1', 'nearLimit k2', 'nearLimit k3', 'endingKey k1', 'unpriced house'])
  expect(items.map(toneOf)).toEqual(['bad', 'bad', 'bad', 'bad', 'warn', 'warn', 'warn'])
  expect(items[2]!.to).toBe('/accounts/a%2F1')
  expect(returningOf(overview).map((one) => one.accountId)).toEqual(['a2'])
  expect(leftOut(overview)).toBe(2)
  // On a Worker nobody knows of lost calls.
  expect(attentionOf(empty, lost(null))).toEqual([])
})

test('steps show until the first call, with what is done ticked', () => {
  const done = (overview: Overview) => firstSteps(overview)?.map((one) => one.done)
  expect(done(empty)).toEqual([false, false, false])
  const ready = { ...empty, keys: { ...empty.keys, total: 1 }, platforms: [{ platform: 'claude' as const, accounts: 1, byStatus: {}, usable: 1, blocked: false, backAt: null }] }
  expect(done(ready)).toEqual([true, true, false])
  expect(firstSteps({ ...empty, requests: 1 })).toBeUndefined()
})

test('48 hours are today and yesterday by the operator\'s labels', () => {
  const points = Array.from({ length: 48 }, (_, index) => {
    const at = new Date(Date.UTC(2026, 0, 29, 15 + index)).toISOString()
    return { label: `${at.slice(0, 10)}:${at.slice(11, 13)}`, totals: { cost: index } } as unknown as UsagePoint
  })
  const { labels, today, before } = twoDays(points, (point) => point.totals.cost)
  expect([labels[0], labels[23]]).toEqual(['00:00', '23:00'])
  // The last point is 2026-01-31:14; before 2026-01-29:15 nothing is asked for.
  expect([today[0], today[14], today[15], today[23]]).toEqual([33, 47, null, null])
  expect([before[0], before[23]]).toEqual([9, 32])
  expect(twoDays([], () => 1).today.every((one) => one === null)).toBe(true)
})
