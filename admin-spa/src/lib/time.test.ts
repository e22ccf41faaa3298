import { expect, test } from 'vitest'
import { countdown, duration, exactMoment, offsetName, readLabel, relativeMoment, shortMoment } from './time'

const at = (text: string) => new Date(text)
const now = at('2026-03-01T12:00:00Z')

test('moments are shown in the zone that was chosen, whatever the browser has', () => {
  const moment = at('2026-02-28T20:30:05Z')
  expect(exactMoment(moment, 'en', 'utc')).toBe('Feb 28, 2026, 20:30:05 UTC')
  expect(exactMoment(moment, 'en', 'operator', 480)).toBe('Mar 1, 2026, 04:30:05 UTC+8')
  expect(exactMoment(moment, 'en', 'operator', -480)).toBe('Feb 28, 2026, 12:30:05 UTC−8')
})

test('today has the time only, another year has the year', () => {
  expect(shortMoment(at('2026-03-01T04:05:00Z'), now, 'en', 'utc')).toBe('04:05')
  // In the operator's zone it is the second of March already.
  expect(shortMoment(at('2026-03-01T04:05:00Z'), at('2026-03-01T18:00:00Z'), 'en', 'operator', 480)).toBe('Mar 1, 12:05')
  expect(shortMoment(at('2025-12-31T23:59:00Z'), now, 'en', 'utc')).toBe('Dec 31, 2025, 23:59')
})

test('relative under a day', () => {
  expect(relativeMoment(at('2026-03-01T11:57:00Z'), now, 'en', 'utc')).toBe('3m ago')
  expect(relativeMoment(at('2026-03-01T17:00:00Z'), now, 'en', 'utc')).toBe('in 5h')
  expect(relativeMoment(at('2026-03-01T11:57:00Z'), now, 'zh-CN', 'utc')).toBe('3分钟前')
  expect(relativeMoment(at('2026-02-27T11:57:00Z'), now, 'en', 'utc')).toBe('Feb 27, 11:57')
})

test('durations have two units', () => {
  for (const [milliseconds, shown] of [
    [0, '0 ms'],
    [350, '350 ms'],
    [1200, '1.2 s'],
    [59_000, '59 s'],
    [303_000, '5 min 03 s'],
    [4 * 3_600_000 + 300_000, '4 h 05 min'],
    [52 * 3_600_000, '2 d 4 h'],
  ] as const) {
    expect(duration(milliseconds, 'en')).toBe(shown)
  }
  expect(duration(303_000, 'zh-CN')).toBe('5分03秒')
})

test('a countdown says 0 only when it is over', () => {
  expect(countdown(1000, 999, 'en')).toBe('1 s')
  expect(countdown(1000, 1000, 'en')).toBe('0 s')
  expect(countdown(61_000, 0, 'en')).toBe('1 min 01 s')
})

test('labels of the API are read as they are, in no zone', () => {
  expect(readLabel('2026-01-31:09', 'en')).toBe('09:00')
  expect(readLabel('2026-01-31', 'en')).toBe('Jan 31')
  expect(readLabel('2026-01', 'en')).toBe('Jan 2026')
  expect(readLabel('else', 'en')).toBe('else')
})

test('offsets have names', () => {
  expect([0, 480, -480, 330, -210].map(offsetName)).toEqual(['UTC', 'UTC+8', 'UTC−8', 'UTC+5:30', 'UTC−3:30'])
})
