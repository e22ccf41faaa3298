import { expect, test } from 'vitest'
import type { Key } from '@/api'
import { usd } from '@/lib/money'
import { each, everyPage, patchOf } from './batch'
import { emptyConfig, extended, preset } from './config'

const now = Date.parse('2026-11-28T00:00:00Z')
const key = (change: Partial<Key>) => ({ ...emptyConfig(), isActive: true, ...change }) as Key

test('a patch has only what changes', () => {
  expect(patchOf(key({ dailyCostLimit: usd(5) }), { kind: 'limit', field: 'dailyCostLimit', how: 'set', amount: usd(5) }, now)).toEqual({})
  expect(patchOf(key({ dailyCostLimit: usd(0.1) }), { kind: 'limit', field: 'dailyCostLimit', how: 'add', amount: usd(0.2) }, now)).toEqual({ dailyCostLimit: 0.3 })
  expect(patchOf(key({ tags: ['a', 'b'] }), { kind: 'removeTag', tag: 'a' }, now)).toEqual({ tags: ['b'] })
  expect(patchOf(key({ tags: ['a'] }), { kind: 'addTag', tag: 'a' }, now)).toEqual({})
})

test('nothing gets a limit or an end that had none', () => {
  expect(patchOf(key({}), { kind: 'limit', field: 'totalCostLimit', how: 'add', amount: usd(1) }, now)).toEqual({})
  expect(patchOf(key({ expiresAt: null }), { kind: 'extend', days: 7 }, now)).toEqual({})
})

test('time is added to the end, or to now if that is over', () => {
  expect(extended('2026-12-01T00:00:00.000Z', 7, now)).toBe('2026-12-08T00:00:00.000Z')
  expect(extended('2026-01-01T00:00:00.000Z', 1, now)).toBe('2026-11-29T00:00:00.000Z')
})

test('one failure keeps no other item back, and no more run than may', async () => {
  let running = 0
  let most = 0
  const failed: number[] = []
  await each([1, 2, 3, 4, 5], 2, async (item) => {
    most = Math.max(most, ++running)
    await Promise.resolve()
    running--
    if (item === 2) throw new Error('no')
  }, (item, error) => error && failed.push(item))
  expect([most, failed]).toEqual([2, [2]])
})

test('all pages are read', async () =>
  expect(await everyPage(async (page) => ({ items: [page], totalPages: 3 }))).toEqual([1, 2, 3]))

test('a preset takes back what another one set', () =>
  expect({ ...preset('trial'), ...preset('none') }).toEqual(preset('none')))
