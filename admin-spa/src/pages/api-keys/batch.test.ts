import { expect, test } from 'vitest'
import type { Key } from '@/api'
import { usd } from '@/lib/money'
import { each, everyPage, requestsOf } from './batch'
import { emptyConfig, extended, preset } from './config'

const now = Date.parse('2026-11-28T00:00:00Z')
let made = 0
const key = (change: Partial<Key>) => ({ ...emptyConfig(), id: `k${++made}`, isActive: true, ...change }) as Key

test('keys that become the same share a request, up to a hundred', () => {
  const keys = Array.from({ length: 205 }, (_, at) => key({ id: `id${at}` }))
  const requests = requestsOf(keys, { kind: 'limit', field: 'dailyCostLimit', how: 'set', amount: usd(5) }, now, 100)
  expect(requests.map((one) => one.ids.length)).toEqual([100, 100, 5])
  expect(requests.flatMap((one) => one.ids)).toEqual(keys.map((one) => one.id))
  expect(requests[0]!.change).toEqual({ dailyCostLimit: 5 })
})

test('what is added depends on what is there', () => {
  const keys = [key({ id: 'a', dailyCostLimit: usd(0.1) }), key({ id: 'b', dailyCostLimit: usd(1) }), key({ id: 'c', dailyCostLimit: usd(0.1) })]
  expect(requestsOf(keys, { kind: 'limit', field: 'dailyCostLimit', how: 'add', amount: usd(0.2) }, now, 100)).toEqual([
    { ids: ['a', 'c'], change: { dailyCostLimit: 0.3 } },
    { ids: ['b'], change: { dailyCostLimit: 1.2 } },
  ])
})

test('nothing gets a limit or an end that had none', () => {
  expect(requestsOf([key({})], { kind: 'limit', field: 'totalCostLimit', how: 'add', amount: usd(1) }, now, 100)).toEqual([])
  expect(requestsOf([key({ expiresAt: null })], { kind: 'extend', days: 7 }, now, 100)).toEqual([])
  // The end of a key that counts from its first use is no field that can be set.
  expect(requestsOf([key({ expiresAt: '2026-12-01T00:00:00Z', expirationMode: 'activation' })], { kind: 'extend', days: 7 }, now, 100)).toEqual([])
})

test('tags and actions are the same for all', () => {
  const keys = [key({ id: 'a' }), key({ id: 'b' })]
  expect(requestsOf(keys, { kind: 'addTag', tag: 'x' }, now, 100)).toEqual([{ ids: ['a', 'b'], addTags: ['x'] }])
  expect(requestsOf(keys, { kind: 'removeTag', tag: 'x' }, now, 100)).toEqual([{ ids: ['a', 'b'], removeTags: ['x'] }])
  expect(requestsOf(keys, { kind: 'action', action: 'delete' }, now, 100)).toEqual([{ ids: ['a', 'b'], action: 'delete' }])
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
  }, (item, result) => result instanceof Error && failed.push(item))
  expect([most, failed]).toEqual([2, [2]])
})

test('all pages are read', async () =>
  expect(await everyPage(async (page) => ({ items: [page], totalPages: 3 }))).toEqual([1, 2, 3]))

test('a preset takes back what another one set', () =>
  expect({ ...preset('trial'), ...preset('none') }).toEqual(preset('none')))
