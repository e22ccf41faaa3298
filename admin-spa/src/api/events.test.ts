import { expect, test } from 'vitest'
import { errorOf, retryAfter } from './error'
import { eventReader } from './events'

test('events are read whatever the pieces', () => {
  const whole = 'data: {"type":"a"}\n\n: ping\n\ndata: {"type":"b","text":"x\\n"}\r\n\r\ndata: {"type":\ndata: "c"}\n\n'
  for (let size = 1; size <= whole.length; size++) {
    const read = eventReader()
    const seen: unknown[] = []
    for (let at = 0; at < whole.length; at += size) seen.push(...read(whole.slice(at, at + size)))
    expect(seen, `pieces of ${size}`).toEqual([{ type: 'a' }, { type: 'b', text: 'x\n' }, { type: 'c' }])
  }
})

test('an error has its code, field, request id and wait', () => {
  const response = new Response('', { status: 429, headers: { 'x-request-id': 'req_1', 'retry-after': '30' } })
  const error = errorOf({ error: 'too_many', message: 'Wait.', field: 'a.b' }, response)
  expect(error).toMatchObject({ status: 429, code: 'too_many', message: 'Wait.', requestId: 'req_1', field: 'a.b', retryAfter: 30 })
})

test('answers of others than the relay have a code, too', () => {
  expect(errorOf('<html>', new Response('', { status: 502, statusText: 'Bad Gateway' }))).toMatchObject({ code: 'http_502', message: 'Bad Gateway' })
  expect(errorOf({ error: { code: 'not_set_up', message: 'Set it up.' } }, new Response('', { status: 503 }))).toMatchObject({ code: 'not_set_up', message: 'Set it up.' })
  expect(errorOf(new TypeError('Failed to fetch'), undefined)).toMatchObject({ code: 'unreachable', status: 0 })
})

test('retry-after is seconds or a date', () => {
  expect(retryAfter('5')).toBe(5)
  expect(retryAfter('Thu, 01 Jan 1970 00:01:00 GMT', 30_000)).toBe(30)
  expect(retryAfter('soon')).toBeUndefined()
})
