import { expect, test } from 'vitest'
import type { Account } from '@/api'
import { gaps, outlooks } from './outlook'

const now = Date.parse('2026-01-31T12:00:00Z')
const at = (hours: number) => new Date(now + hours * 3_600_000).toISOString()
const hours = (moment: number | undefined) => (moment === undefined ? undefined : (moment - now) / 3_600_000)
const account = (id: string, more: Partial<Account> = {}) => ({ id, name: id, platform: 'claude', status: 'active', statusUntil: null, quota: [], ...more }) as unknown as Account
/** Of five hours, of which two are over. */
const window = (usedPercent: number, name = 'unified-5h', resets = 3) => ({ name, usedPercent, resetsAt: at(resets), observedAt: at(0), family: null })

test('a window is full when its pace says so, and never if that is after its reset', () => {
  const [full, slow] = outlooks([account('slow', { quota: [window(30)] }), account('full', { quota: [window(80)] })], now)
  expect(full!.account.id).toBe('full')
  expect(hours(full!.out)).toBeCloseTo(0.5)
  expect(hours(full!.back)).toBe(3)
  expect(slow!.out).toBeUndefined()
})

test('one that is limited is out now, one that a person must mend is left out, a family alone is no account', () => {
  const all = outlooks(
    [
      account('opus', { quota: [{ ...window(100, 'unified-7d_opus', 30), family: 'opus' }] }),
      account('limited', { status: 'rateLimited', statusUntil: at(1) }),
      account('refused', { status: 'unauthorized' }),
    ],
    now,
  )
  expect(all.map((one) => [one.account.id, hours(one.out), hours(one.back)])).toEqual([['limited', 0, 1], ['opus', undefined, undefined]])
})

test('of two full windows the account is back when both have reset', () => {
  const [one] = outlooks([account('a', { quota: [window(80), window(100, 'unified-7d', 40)] })], now)
  expect([hours(one!.out), hours(one!.back)]).toEqual([0, 40])
})

test('a platform has a gap only while all of its accounts are out at once', () => {
  const limited = (id: string, until: number) => account(id, { status: 'rateLimited', statusUntil: at(until) })
  const gap = (accounts: Account[]) => gaps(outlooks(accounts, now), now).map((one) => [one.platform, hours(one.from), hours(one.to)])
  expect(gap([limited('a', 2), limited('b', 1)])).toEqual([['claude', 0, 1]])
  // The first is back before the second is full.
  expect(gap([limited('a', 0.2), account('b', { quota: [window(80)] })])).toEqual([])
  expect(gap([limited('a', 2), account('b')])).toEqual([])
  expect(gap([limited('a', 2), account('g', { platform: 'gemini' })])).toEqual([['claude', 0, 2]])
  expect(gap([account('a', { status: 'backingOff' })])).toEqual([['claude', 0, undefined]])
})

test('a window that has just begun says nothing of its pace', () => {
  const [one] = outlooks([account('a', { quota: [{ ...window(9), resetsAt: at(4.9) }] })], now)
  expect(one!.out).toBeUndefined()
})
