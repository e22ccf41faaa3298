import type { Account } from '@/api'
import type { Tone } from '@/ui'

export type Status = Account['status']

const tones: Record<Status, Tone> = {
  active: 'ok',
  busy: 'info',
  paused: 'off',
  inactive: 'off',
  backingOff: 'warn',
  rateLimited: 'warn',
  quotaReached: 'warn',
  expired: 'bad',
  unusable: 'bad',
  unauthorized: 'bad',
}
export const toneOf = (account: Account): Tone => tones[account.status] ?? 'info'

/** What the list filters by: statuses that ask the same of a person. */
export const statusGroups = {
  needs: ['unauthorized', 'unusable', 'expired'],
  limited: ['rateLimited', 'quotaReached', 'backingOff'],
  working: ['active', 'busy'],
  off: ['paused', 'inactive'],
} as const satisfies Record<string, readonly Status[]>
export type StatusGroup = keyof typeof statusGroups
export const statusGroupNames = Object.keys(statusGroups) as StatusGroup[]

/** Cooldowns of one family: the account is active, but not for that. */
export const cooledFamilies = (account: Account) =>
  account.status === 'active' ? account.cooldowns.filter((one) => one.family && (one.kind === 'measured' || one.kind === 'refused')) : []

/** Whether a reset would forget something. */
export const isHeld = (account: Account) => account.cooldowns.length > 0 || account.status === 'unauthorized' || account.status === 'backingOff'

/** Whether a person can sign in for it again. */
export const hasLogin = (account: Account) => account.credentials.type === 'oauth'

/** `unified-5h` is `5h`: what people call the window, and the name of its text. */
export const windowName = (name: string) => name.replace(/^unified-/, '')
