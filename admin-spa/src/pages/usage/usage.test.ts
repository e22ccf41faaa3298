import { expect, test } from 'vitest'
import type { NamedUsage, UsageTrend } from '@/api'
import { csvOf, sorted } from './rows'
import { seriesOf, sumOf, trimmed } from './series'
import { daysBetween, operatorDay, spanQuery, trendQuery } from './span'

const totals = (requests: number, cost: number, more = {}) => ({ requests, errors: 0, partial: 0, estimated: 0, input: 10, output: 5, cacheWrite5m: 0, cacheWrite1h: 0, cacheRead: 0, cost, ...more })
const trend = (unit: string, costs: number[], groups: unknown[] | null = null) =>
  ({ unit, utcOffsetMinutes: 480, of: { kind: 'all' }, points: costs.map((cost, index) => ({ label: `2026-0${index + 1}`, totals: totals(cost ? 1 : 0, cost) })), groups }) as unknown as UsageTrend
const names = { all: 'all', others: 'others', gone: 'gone', tests: 'tests' }

test('days take the place of a range, and the chart has the length that fits', () => {
  expect(spanQuery({ range: 'today', from: '', to: '' })).toEqual({ range: 'today' })
  expect(spanQuery({ range: 'today', from: '2026-01-01', to: '' })).toEqual({ from: '2026-01-01', to: undefined })
  expect(daysBetween('2026-02-28', '2026-03-01')).toBe(2)
  const unit = (from: string | null, to: string | null) => trendQuery(from, to, '2026-03-10').unit
  expect(unit('2026-03-10', '2026-03-10')).toBe('hour')
  expect(unit('2026-03-04', '2026-03-05')).toBe('hour')
  // Hours of that day are not kept any more.
  expect(unit('2026-03-03', '2026-03-03')).toBe('day')
  expect(unit('2026-03-08', '2026-03-10')).toBe('day')
  expect(unit(null, null)).toBe('month')
})

test('the operator\'s day is told by his offset, not by the browser\'s zone', () => {
  const now = Date.UTC(2026, 0, 31, 16, 30)
  expect([operatorDay(now, 480), operatorDay(now, 0), operatorDay(now, -1020)]).toEqual(['2026-02-01', '2026-01-31', '2026-01-30'])
})

test('groups and others are everything, without dust of floats', () => {
  const group = { id: 'k', name: null, requests: [1, 1], errors: [0, 0], tokens: [0, 0], cost: [0.1, 0.2] }
  expect(seriesOf(trend('day', [0.3, 0.2], [group]), 'cost', names)).toEqual([{ key: 'k', name: 'gone', values: [0.1, 0.2] }, { key: '(others)', name: 'others', values: [0.2, 0] }])
  expect(seriesOf(trend('day', [0.1, 0.2], [group]), 'cost', names).map((one) => one.key)).toEqual(['k'])
  expect(seriesOf(trend('day', [1, 2]), 'tokens', names)[0]!.values).toEqual([15, 15])
  expect(sumOf(trend('day', [0.1, 0.2]).points)).toMatchObject({ cost: 0.3, requests: 2, input: 20 })
})

test('months before the first call are left out', () => {
  expect(trimmed(trend('month', [0, 0, 3, 0])).points.map((one) => one.label)).toEqual(['2026-03', '2026-04'])
  expect(trimmed(trend('month', [0, 0])).points).toHaveLength(1)
  expect(trimmed(trend('day', [0, 1])).points).toHaveLength(2)
})

test('rows are sorted by any column, and no cell of the table is a formula', () => {
  const rows = [
    { id: 'a', name: '=1+1', totals: totals(1, 5, { cacheRead: 30 }) },
    { id: 'b', name: 'x "y", z', totals: totals(9, 2) },
    { id: 'c', name: null, totals: totals(3, 7) },
  ] as unknown as NamedUsage[]
  const order = (by: Parameters<typeof sorted>[1], way: 'asc' | 'desc') => sorted(rows, by, way, 'en').map((one) => one.id).join('')
  expect([order('cost', 'desc'), order('requests', 'desc'), order('cached', 'desc'), order('name', 'asc')]).toEqual(['cab', 'bca', 'abc', 'acb'])
  expect(csvOf(rows).split('\r\n').slice(1, 3)).toEqual(["a,'=1+1,1,0,10,5,0,0,30,5", 'b,"x ""y"", z",9,0,10,5,0,0,0,2'])
})
