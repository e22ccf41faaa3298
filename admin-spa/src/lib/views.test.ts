import { expect, test } from 'vitest'
import { LETTERS, MOST, readViews, sameQuery, withView } from './views'

test('what is stored is read, and what is no view is left out', () => {
  const good = { name: 'Trial keys', query: { tags: 'trial', status: 'active' } }
  const stored = [good, null, 7, { name: '  ', query: {} }, { name: 'No query' }, { name: 'Odd', query: { tags: ['a'], page: 3, search: 'x' } }]
  expect(readViews(JSON.stringify(stored))).toEqual([good, { name: 'Odd', query: { search: 'x' } }])
  for (const broken of [null, '', '{', '{}', '"text"', 'null']) expect(readViews(broken)).toEqual([])
  expect(readViews(JSON.stringify([{ name: 'x'.repeat(200), query: {} }]))[0]!.name).toHaveLength(LETTERS)
})

test('a name is there once, and there are never too many', () => {
  const one = { name: 'A', query: { status: 'active' } }
  const other = { name: 'A', query: { status: 'disabled' } }
  expect(withView([one, { name: 'B', query: {} }], other)).toEqual([other, { name: 'B', query: {} }])
  const many = Array.from({ length: MOST }, (_, at) => ({ name: `View ${at}`, query: {} }))
  const more = withView(many, one)
  expect(more).toHaveLength(MOST)
  expect(more.at(-1)).toEqual(one)
  expect(more[0]!.name).toBe('View 1')
})

test('queries are the same whatever their order', () => {
  expect(sameQuery({ a: '1', b: '2' }, { b: '2', a: '1' })).toBe(true)
  expect(sameQuery({ a: '1' }, { a: '1', b: '2' })).toBe(false)
})
