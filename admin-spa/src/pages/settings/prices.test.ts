import { expect, test } from 'vitest'
import type { PricedModel } from '@/api'
import { usd } from '@/lib/money'
import { begun, changesOf, overridesOf, parsePrice, rowsOf, sheetOf, wrongCells } from './prices'

const price = { input: 5, output: 25, cacheRead: 0.5, cacheWrite5m: 6.25, cacheWrite1h: 10 }
const model = (name: string, more: Partial<PricedModel> = {}): PricedModel => ({ model: name, family: 'claude', source: 'table', price, listed: price, overriddenBy: null, varies: false, calls: 0, cost: usd(0), ...more })

test('prices are read as the relay takes them', () => {
  expect(['5', ' $0.000001 ', '1000000', '3.'].map(parsePrice)).toEqual([5, 0.000001, 1000000, 3])
  expect(['', '-1', '1e3', '0.0000001', '1000001', '1,5', 'x'].map(parsePrice)).toEqual(Array(7).fill(undefined))
})

test('what is sent has what was given and nothing else', () => {
  const overrides = { a: { input: 1, output: 2 }, b: { input: 0, output: 0.1, cacheRead: 0, cacheWrite1h: null } }
  expect(overridesOf(sheetOf(overrides))).toEqual({ a: { input: 1, output: 2 }, b: { input: 0, output: 0.1, cacheRead: 0 } })
})

test('an edit begins with what is charged, and what cannot be taken is named by its cell', () => {
  expect(begun(price)).toEqual({ input: '5', output: '25', cacheRead: '', cacheWrite5m: '', cacheWrite1h: '' })
  const sheet = { x: { ...begun(null), input: '1' }, y: { ...begun(price), cacheRead: 'much' } }
  expect(wrongCells(sheet)).toEqual([{ model: 'x', field: 'output' }, { model: 'y', field: 'cacheRead' }])
})

test('the diff has one line a price, and one for a model that is given up', () => {
  const before = sheetOf({ a: { input: 1, output: 2 }, gone: { input: 1, output: 1 } })
  const after = sheetOf({ a: { input: 1, output: 3, cacheRead: 0 }, fresh: { input: 4, output: 5 } })
  expect(changesOf(before, after)).toEqual([
    { model: 'a', field: 'output', from: 2, to: 3 },
    { model: 'a', field: 'cacheRead', from: undefined, to: 0 },
    { model: 'fresh', field: 'input', from: undefined, to: 4 },
    { model: 'fresh', field: 'output', from: undefined, to: 5 },
    { model: 'gone' },
  ])
  // Another spelling of the same number is no change.
  expect(changesOf(before, { ...before, a: { ...before.a!, input: '1.0' } })).toEqual([])
})

test('rows: what only the sheet has, then the order of the relay, filtered', () => {
  const models = [model('claude-next', { source: 'dearestOfFamily', calls: 3 }), model('claude-opus-4-8', { source: 'override', overriddenBy: 'Claude-Opus-4-8' }), model('gpt-5')]
  const sheet = sheetOf({ 'Claude-Opus-4-8': { input: 1, output: 1 }, mine: { input: 1, output: 1 } })
  const names = (search: string, show: 'all' | 'guessed' | 'own' | 'called') => rowsOf(models, sheet, search, show).map((row) => row.model)
  expect(names('', 'all')).toEqual(['mine', 'claude-next', 'claude-opus-4-8', 'gpt-5'])
  expect(names('CLAUDE', 'all')).toEqual(['claude-next', 'claude-opus-4-8'])
  expect(names('', 'own')).toEqual(['mine', 'claude-opus-4-8'])
  expect(names('', 'guessed')).toEqual(['claude-next'])
  expect(names('', 'called')).toEqual(['claude-next'])
})
