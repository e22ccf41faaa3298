import type { Account, Platform } from '@/api'

/** When an account cannot serve, in milliseconds since 1970. */
export interface Outlook {
  account: Account
  /** Out from here on: `now` if it is out already; `undefined`: not within what is known. */
  out?: number
  /** Back again; `undefined`: nobody knows. */
  back?: number
  /** The window that says so, if it is one: the first that is full at the pace so far. */
  window?: string
}

const hour = 3_600_000
/** How long the windows are that name their length. */
const lengths: Record<string, number> = { 'unified-5h': 5 * hour, 'unified-7d': 7 * 24 * hour }
const byPerson = ['inactive', 'paused', 'expired', 'unusable', 'unauthorized']

/** When a window is full if it goes on as it began. Little use in its first tenth says nothing of its pace. */
function fullAt(window: Account['quota'][number], now: number): number | undefined {
  const length = lengths[window.name]
  const resets = Date.parse(window.resetsAt)
  if (!length || window.family || resets <= now) return undefined
  if (window.usedPercent >= 100) return now
  const begun = resets - length
  const took = Date.parse(window.observedAt) - begun
  if (took < length / 10 || window.usedPercent <= 0) return undefined
  const full = begun + (took * 100) / window.usedPercent
  return full < resets ? Math.max(full, now) : undefined
}

function outlookOf(account: Account, now: number): Outlook {
  if (['rateLimited', 'quotaReached', 'backingOff'].includes(account.status)) {
    return { account, out: now, back: account.statusUntil ? Date.parse(account.statusUntil) : undefined }
  }
  const full = account.quota.flatMap((window) => {
    const out = fullAt(window, now)
    return out === undefined ? [] : [{ account, out, back: Date.parse(window.resetsAt), window: window.name }]
  })
  // Of several that will be full the last one to reset counts.
  const first = full.sort((a, b) => a.out - b.out)[0]
  return first ? { ...first, back: Math.max(...full.filter((one) => one.out <= first.back).map((one) => one.back)) } : { account }
}

/** Accounts that serve or return by themselves: those that are out first, then those that run out, the soonest first. */
export function outlooks(accounts: readonly Account[], now: number): Outlook[] {
  const last = Number.MAX_SAFE_INTEGER
  return accounts
    .filter((one) => !byPerson.includes(one.status))
    .map((one) => outlookOf(one, now))
    .sort((a, b) => (a.out ?? last) - (b.out ?? last) || (a.back ?? last) - (b.back ?? last))
}

/** Platforms whose accounts will all be out at the same time, from when until when. */
export function gaps(all: readonly Outlook[], now: number): { platform: Platform; from: number; to?: number }[] {
  const platforms = [...new Set(all.map((one) => one.account.platform))]
  return platforms.flatMap((platform) => {
    const of = all.filter((one) => one.account.platform === platform)
    if (of.some((one) => one.out === undefined)) return []
    const from = Math.max(now, ...of.map((one) => one.out!))
    const known = of.flatMap((one) => (one.back === undefined ? [] : [one.back]))
    const to = known.length ? Math.min(...known) : undefined
    return to !== undefined && to <= from ? [] : [{ platform, from, to }]
  })
}
