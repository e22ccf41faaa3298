import { expect, test } from 'vitest'
import type { BatchItem } from '@/api'
import { usd } from '@/lib/money'
import { inParts, KINDS, stateOf, whatOf, type BatchForm } from './batch'

const form = (kind: BatchForm['kind']): BatchForm => ({ kind, number: 7, amount: usd(2.5), on: false, groups: ['g'] })
const item = (more: Partial<BatchItem>): BatchItem => ({ id: 'a', name: 'A', ok: true, changes: [], error: null, ...more })

test('each kind sends exactly one of action and change', () => {
  for (const kind of KINDS) expect(Object.keys(whatOf(form(kind))), kind).toHaveLength(1)
  expect(whatOf(form('pause'))).toEqual({ action: 'pause' })
  expect(whatOf(form('dailyQuota'))).toEqual({ change: { dailyQuota: 2.5 } })
  expect(whatOf(form('groups'))).toEqual({ change: { groups: ['g'] } })
})

test('a result says what became of an account', () => {
  const changed = [{ field: 'priority', from: 1, to: 7 }]
  expect(stateOf(item({ changes: changed }), 'priority', true)).toBe('waiting')
  expect(stateOf(item({ changes: changed }), 'priority', false)).toBe('ok')
  expect(stateOf(item({}), 'priority', false)).toBe('same')
  expect(stateOf(item({}), 'delete', true)).toBe('waiting')
  expect(stateOf(item({ ok: false }), 'delete', false)).toBe('failed')
})

test('more than a hundred go in parts, and a part that fails leaves the others', async () => {
  const ids = Array.from({ length: 250 }, (_, index) => String(index))
  const sizes: number[] = []
  const items = await inParts(ids, 100, (part) => {
    sizes.push(part.length)
    if (sizes.length === 2) return Promise.reject(new Error('away'))
    return Promise.resolve({ dryRun: false, succeeded: part.length, failed: 0, results: part.map((id) => item({ id })) })
  })
  expect(sizes).toEqual([100, 100, 50])
  expect(items.map((one) => one.id)).toEqual(ids)
  expect(items.filter((one) => !one.ok)).toHaveLength(100)
  await expect(inParts(ids, 100, () => Promise.reject(new Error('wrong')))).rejects.toThrow('wrong')
})
