import type { Account } from '@/api'
import type { Tone } from '@/ui'

const tones: Record<Account['status'], Tone> = {
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

/** A cooldown of one family: the account is active, but not for that. */
export const cooledFamilies = (account: Account) =>
  account.status === 'active' ? account.cooldowns.filter((one) => one.family && (one.kind === 'measured' || one.kind === 'refused')) : []

/** `unified-5h` is `5h`: what people call the window. */
export const windowName = (name: string) => name.replace(/^unified-/, '')
