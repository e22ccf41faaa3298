import { expect, test } from 'vitest'
import type { CallTrace, TracedAttempt, TracedRequest } from '@/api'
import { usd } from '@/lib/money'
import { byReason, phasesOf, reportOf, storyOf, toneOf, type Words } from './story'
import type { RequestsText } from './text'

const words: Words = {
  t: ((key, values) => `${key}${values ? ` ${Object.values(values).join(' ')}` : ''}`) as RequestsText,
  duration: (ms) => `${ms} ms`,
  percent: (share) => `${share * 100}%`,
  error: (code) => `<${code}>`,
  skip: ({ code, why }) => code ?? why,
}
const attempt = (more: Partial<TracedAttempt> = {}): TracedAttempt => ({ accountId: 'b', accountName: 'B', startedMs: 10, durationMs: 300, candidates: 3, status: 200, ...more })
const trace = (more: Partial<CallTrace> = {}): CallTrace => ({ sticky: false, bound: false, waitedMs: 0, attempts: [attempt()], ...more })
const call = (more: Partial<TracedRequest> = {}): TracedRequest => ({
  requestId: 'req_1', at: '2026-01-31T10:00:00Z', keyId: 'k', keyName: 'key', accountId: 'b', accountName: 'B', platform: 'claude', endpoint: 'messages', model: 'm', stream: true, status: 200,
  tokens: { input: 1, output: 1, cacheRead: 0, cacheWrite5m: 0, cacheWrite1h: 0 }, cost: usd(1), charges: [], priceVersion: 'v', quality: 'exact', firstByteMs: 310, durationMs: 900, attempts: 1, client: 'c',
  costs: { parts: [], asCharged: true }, trace: trace(), ...more,
})

test('each way to an account reads differently', () => {
  const of = (more: Partial<CallTrace>) => storyOf(call({ trace: trace(more) }), words)[0]
  expect(of({})).toBe('story.first B 3')
  expect(of({ attempts: [attempt({ candidates: 1 })] })).toBe('story.only B')
  expect(of({ sticky: true, session: 'header' })).toBe('story.sticky B signal.header')
  expect(of({ bound: true, sticky: true })).toBe('story.bound B')
  expect(of({ followed: 'file', bound: true })).toBe('story.followed B followed.file')
  expect(of({ attempts: [] })).toBe('story.nobody')
  expect(storyOf(call({ trace: null }), words)).toEqual(['story.unknown'])
})

test('a call that was retried, waited and read the cache tells all of it', () => {
  const attempts = [
    attempt({ accountName: 'A', error: 'provider_overloaded', status: 529 }),
    attempt({ skipped: [{ account: 'A', code: 'tried', why: '' }, { account: 'C', code: 'full', why: '' }] }),
  ]
  expect(storyOf(call({ trace: trace({ attempts, waitedMs: 50, cacheReadShare: 0.92, previousCacheReadShare: 0.95 }) }), words)).toEqual([
    'story.first B 3', 'story.skippedOne C full', 'story.failed A <provider_overloaded>', 'story.waited 50 ms', 'story.cacheBefore 92% 95%',
  ])
})

test('the phases follow each other, and a lost call has none', () => {
  const attempts = [attempt({ accountName: 'A', startedMs: 20, durationMs: 100, error: 'provider_failed' }), attempt({ startedMs: 130, durationMs: 180 })]
  expect(phasesOf(call({ trace: trace({ waitedMs: 20, attempts }) })).map(({ kind, from, to, failed }) => [kind, from, to, failed])).toEqual([
    ['queue', 0, 20, false], ['attempt', 20, 120, true], ['attempt', 130, 310, false], ['answer', 310, 900, false],
  ])
  expect(phasesOf(call({ trace: null, firstByteMs: null }))).toEqual([])
})

test('passed-over accounts are grouped, the most frequent reason first', () => {
  const skipped = [{ account: 'A', code: 'full' as const, why: 'x' }, { account: 'B', code: 'paused' as const, why: 'y' }, { account: 'C', code: 'paused' as const, why: 'y' }, { account: 'D', why: 'old words' }]
  expect(byReason(skipped).map(({ code, accounts }) => [code, accounts])).toEqual([['paused', ['B', 'C']], ['full', ['A']], [undefined, ['D']]])
})

test('a client that left is not a failure of ours', () => {
  expect(toneOf({ status: 200 })).toBe('ok')
  expect(toneOf({ status: 200, error: 'client_left' })).toBe('off')
  expect(toneOf({ status: 200, error: 'stream_broken' })).toBe('warn')
  expect(toneOf({ status: 400 })).toBe('bad')
})

test('the report has what a provider asks for, and the words verbatim', () => {
  const text = reportOf(call({ status: 400, error: 'passed_on', detail: '{"type":"error"}' }), words)
  expect(text.split('\n')[0]).toBe('req_1')
  expect(text).toContain('400 passed_on (<passed_on>)')
  expect(text).toContain('1. B: 200, +10 ms, 300 ms')
  expect(text.endsWith('{"type":"error"}')).toBe(true)
})
