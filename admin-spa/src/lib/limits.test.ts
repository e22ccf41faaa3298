import { expect, test } from 'vitest'
import type { Key, SpendPeriod } from '@/api/generated/types.gen'
import { limitsOf, MONEY, percentOf } from './limits'

const now = Date.parse('2026-11-28T14:00:00Z')
const period = (spent: number, reserved = 0) => ({ spent, reserved, resetsAt: '2026-11-29T00:00:00Z' })
const key = (change: object) =>
  ({
    dailyCostLimit: 0, weeklyCostLimit: 0, weeklyOpusCostLimit: 0, monthlyCostLimit: 0, totalCostLimit: 0, rateLimitWindow: 0, rateLimitRequests: 0, tokenLimit: 0, rateLimitCost: 0, concurrencyLimit: 0, currentConcurrency: 0, window: null, lastUsedAt: '2026-11-28T13:00:00Z',
    spend: { day: period(7.2, 0.8), week: period(8), weekOpus: period(0), month: period(30), total: period(90) },
    ...change,
  }) as unknown as Key

test('only limits that are set count', () => expect(limitsOf(key({}), now)).toEqual([]))

test('the tightest comes first, with what is reserved', () => {
  const [first, second] = limitsOf(key({ weeklyCostLimit: 100, dailyCostLimit: 10 }), now)
  expect([first!.limit, percentOf(first!), second!.limit]).toEqual(['dailyCost', 80, 'weeklyCost'])
})

test('a window that is over is empty, and counts only if there is a window', () => {
  const window = { start: '', end: '2026-11-28T13:59:59Z', requests: 9, tokens: 5, cost: 1, reserved: { tokens: 1, cost: 1 } }
  const limits = { rateLimitRequests: 10, window }
  expect(limitsOf(key(limits), now)).toEqual([])
  expect(limitsOf(key({ ...limits, rateLimitWindow: 60 }), now)[0]).toMatchObject({ used: 0, resetsAt: null })
  const running = { ...window, end: '2026-11-28T14:00:01Z' }
  expect(limitsOf(key({ ...limits, rateLimitWindow: 60, window: running }), now)[0]).toMatchObject({ used: 9, resetsAt: running.end })
})

test('what cannot be asked is unknown, not 0', () =>
  expect(limitsOf(key({ spend: null, dailyCostLimit: 1, currentConcurrency: null }), now)[0]!.used).toBeUndefined())

test('a key without calls has used nothing', () =>
  expect(limitsOf(key({ spend: null, dailyCostLimit: 1, lastUsedAt: null }), now)[0]!.used).toBe(0))

test('every limit of the relay is on the list', () => {
  type Missing = Exclude<SpendPeriod, (typeof MONEY)[number]['sum'] | 'window' | 'all'>
  // The compiler refuses this if one is missing.
  const complete: [Missing] extends [never] ? true : Missing = true
  expect(complete).toBe(true)
})

test('each limit on money is shown with its own sum', () => {
  const spend = { day: period(1), week: period(2), weekOpus: period(3), month: period(4), total: period(5) }
  const limits = Object.fromEntries(MONEY.map((one) => [one.field, 10]))
  const shown = limitsOf(key({ ...limits, spend }), now)
  expect(shown.map((one) => [one.limit, one.used])).toEqual([['totalCost', 5], ['monthlyCost', 4], ['weeklyOpusCost', 3], ['weeklyCost', 2], ['dailyCost', 1]])
  // A gate that was not told what went before of one.
  const unknown = limitsOf(key({ monthlyCostLimit: 10, spend: { ...spend, month: { spent: null, reserved: 0, resetsAt: null } } }), now)
  expect(unknown[0]!.used).toBeUndefined()
})
