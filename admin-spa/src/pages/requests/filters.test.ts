import { expect, test } from 'vitest'
import { readParams, writeParams } from '@/lib/urlState'
import { callQuery, filterOf, isNarrowed, params, refusalQuery, requestIdIn, since } from './filters'

const id = `req_${'0123456789abcdef'.repeat(2)}`
const read = (query: Record<string, unknown>) => readParams(params, query)

test('the URL has the names of the API, and what is not set is not sent', () => {
  const query = { keyId: 'k1', error: 'stream_broken', platform: 'claude', slowerThan: '1500', dearerThan: '0.25', session: 'ab12', from: '2026-01-31', errorsOnly: '1', cursor: 'c' }
  const state = read(query)
  expect(callQuery(state)).toEqual({
    keyId: 'k1', error: 'stream_broken', platform: 'claude', slowerThan: 1500, dearerThan: 0.25, session: 'ab12', from: '2026-01-31', errorsOnly: true, cursor: 'c', pageSize: 50,
    accountId: undefined, model: undefined, status: undefined, to: undefined,
  })
  expect(writeParams(params, state, {})).toEqual(query)
  expect(isNarrowed(state)).toBe(true)
  expect(isNarrowed(read({ live: '1', cursor: 'c', tab: 'refused' }))).toBe(false)
})

test('nonsense in the URL is as if it were not there', () => {
  const state = read({ slowerThan: '-1', dearerThan: 'lots', platform: 'x', status: '7', pageSize: '5000' })
  expect(Object.values(filterOf(state)).filter((value) => value !== undefined)).toEqual([])
  expect(state.pageSize).toBe(50)
})

test('refused calls have filters of their own', () => {
  expect(refusalQuery(read({ keyId: 'k', code: 'cost_limited', slowerThan: '5', page: '2' }))).toEqual({ keyId: 'k', code: 'cost_limited', page: 2, pageSize: 50 })
})

test('a request id is found in whatever was pasted', () => {
  expect(requestIdIn(id)).toBe(id)
  expect(requestIdIn(`  Error 429 (request ${id.toUpperCase()}).`)).toBe(id)
  expect(requestIdIn('req_123')).toBeUndefined()
  expect(requestIdIn(`${id}0`)).toBeUndefined()
  expect(requestIdIn('')).toBeUndefined()
})

test('hours back begin at a whole minute, so that the same click gives the same address', () => {
  const now = Date.parse('2026-01-31T10:20:30.400Z')
  expect(since(24, now)).toBe('2026-01-30T10:20:00.000Z')
  expect(since(24, now + 20_000)).toBe(since(24, now))
})
