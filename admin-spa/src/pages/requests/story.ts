import type { SkipReason, TracedRequest, TracedSkip } from '@/api'
import type { RequestsText } from './text'

/** What takes part of a call's time, in milliseconds from its arrival. */
export interface Phase {
  key: string
  kind: 'queue' | 'attempt' | 'answer'
  name?: string
  from: number
  to: number
  failed: boolean
}

/** Queue, attempts and answer one after the other; without a trace only the answer is known. */
export function phasesOf(call: TracedRequest): Phase[] {
  const phases: Phase[] = []
  const { trace } = call
  if (trace && trace.waitedMs > 0) phases.push({ key: 'queue', kind: 'queue', from: 0, to: trace.waitedMs, failed: false })
  for (const [index, one] of (trace?.attempts ?? []).entries()) {
    phases.push({ key: `attempt ${index}`, kind: 'attempt', name: one.accountName, from: one.startedMs, to: one.startedMs + one.durationMs, failed: !!one.error })
  }
  if (call.firstByteMs != null) {
    phases.push({ key: 'answer', kind: 'answer', from: call.firstByteMs, to: Math.max(call.firstByteMs, call.durationMs), failed: !!call.error })
  }
  return phases
}

export type Tone = 'ok' | 'warn' | 'bad' | 'off'

/** Whether it went well, and whose fault it was not. */
export function toneOf(call: { error?: string | null; status: number }): Tone {
  if (call.error === 'client_left' || call.error === 'ended_by_operator') return 'off'
  if (call.error === 'stream_broken' || call.error === 'stream_idle' || call.error === 'call_lost') return 'warn'
  return call.error || call.status >= 400 ? 'bad' : 'ok'
}

export interface SkipGroup {
  code?: SkipReason
  why: string
  accounts: string[]
}

/** Passed-over accounts by reason, the most frequent first. */
export function byReason(skipped: readonly TracedSkip[]): SkipGroup[] {
  const groups = new Map<string, SkipGroup>()
  for (const one of skipped) {
    const group = groups.get(one.code ?? one.why) ?? { code: one.code, why: one.why, accounts: [] }
    group.accounts.push(one.account)
    groups.set(one.code ?? one.why, group)
  }
  return [...groups.values()].sort((a, b) => b.accounts.length - a.accounts.length)
}

export interface Words {
  t: RequestsText
  duration: (ms: number) => string
  percent: (share: number) => string
  error: (code: string) => string
  skip: (skip: { code?: SkipReason; why: string }) => string
}

function whyThere(call: TracedRequest, { t }: Words): string {
  const trace = call.trace!
  const last = trace.attempts.at(-1)!
  const account = last.accountName
  if (trace.followed) return t('story.followed', { account, kind: t(`followed.${trace.followed as 'response'}`) })
  if (trace.bound) return t('story.bound', { account })
  if (trace.sticky) return t('story.sticky', { account, signal: t(`signal.${trace.session ?? 'prefix'}`) })
  if (last.candidates <= 1) return t('story.only', { account })
  return t('story.first', { account, count: last.candidates })
}

/** Why it went as it did, in a few sentences. */
export function storyOf(call: TracedRequest, words: Words): string[] {
  const { t, duration, percent, error, skip } = words
  const { trace } = call
  if (!trace) return [t('story.unknown')]
  const said: string[] = []
  if (trace.attempts.length) said.push(whyThere(call, words))
  else said.push(t('story.nobody'))
  const skipped = trace.attempts.at(-1)?.skipped ?? []
  const others = skipped.filter((one) => one.code !== 'tried')
  if (others.length === 1) said.push(t('story.skippedOne', { account: others[0]!.account, why: skip(others[0]!) }))
  else if (others.length > 1) said.push(t('story.skippedMany', { count: others.length + (trace.attempts.at(-1)?.notListed ?? 0) }))
  const failed = trace.attempts.filter((one, index) => one.error && index < trace.attempts.length - 1)
  for (const one of failed) said.push(t('story.failed', { account: one.accountName, error: error(one.error!) }))
  if (trace.waitedMs > 0) said.push(t('story.waited', { time: duration(trace.waitedMs) }))
  if (call.error) said.push(t('story.ended', { error: error(call.error) }))
  if (trace.cacheReadShare != null && trace.previousCacheReadShare != null) {
    said.push(t('story.cacheBefore', { now: percent(trace.cacheReadShare), before: percent(trace.previousCacheReadShare) }))
  } else if (trace.cacheReadShare != null) said.push(t('story.cache', { now: percent(trace.cacheReadShare) }))
  return said
}

/** The call as text, for a report to a provider or a colleague. No key and no secret is in it. */
export function reportOf(call: TracedRequest, words: Words): string {
  const { t, duration, error, skip } = words
  const lines = [
    call.requestId,
    call.at,
    `${call.platform} · ${call.endpoint} · ${call.model}${call.stream ? ` · ${t('stream')}` : ''}`,
    `${call.status}${call.error ? ` ${call.error} (${error(call.error)})` : ''}`,
    `${t('duration')}: ${duration(call.durationMs)}${call.firstByteMs == null ? '' : `, ${t('firstByte')}: ${duration(call.firstByteMs)}`}`,
    ...storyOf(call, words),
  ]
  for (const [index, one] of (call.trace?.attempts ?? []).entries()) {
    lines.push(`${index + 1}. ${one.accountName}: ${one.status ?? '–'}${one.error ? ` ${one.error}` : ''}, +${duration(one.startedMs)}, ${duration(one.durationMs)}`)
    for (const group of byReason(one.skipped ?? [])) lines.push(`   ${group.accounts.join(', ')}: ${skip(group)}`)
  }
  if (call.detail) lines.push('', call.detail)
  return lines.join('\n')
}
