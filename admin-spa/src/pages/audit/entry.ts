import type { AuditChange, AuditEntry } from '@/api'

/** Every action that the relay writes; a test holds this list against its code. */
export const actions = [
  'key.create', 'key.update', 'key.rotate', 'key.reset_limits', 'key.delete', 'key.restore', 'key.purge',
  'account.create', 'account.update', 'account.test', 'account.reset', 'account.flush_sessions', 'account.delete',
  'group.create', 'group.update', 'group.delete',
  'prices.update', 'routes.update', 'site.update', 'lease.release', 'import.crs',
  'backup.create', 'backup.export', 'backup.download', 'backup.delete', 'backup.schedule',
  'admin.login', 'admin.login_refused', 'admin.logout', 'admin.logout_everywhere', 'admin.end_session',
  'admin.change_password', 'admin.make_ticket', 'admin.create', 'admin.update',
] as const
export type Action = (typeof actions)[number]
export const knownAction = (code: string) => actions.find((one) => one === code)

/** Who acts beside the admins, by the names that the relay gives them. */
export const others = ['local', 'system', 'stranger'] as const

/** Where the subject of an entry is shown; nothing for what has no page or was removed by this very entry. */
export function pageOf({ subject, action }: Pick<AuditEntry, 'subject' | 'action'>): string | undefined {
  if (['account.delete', 'key.purge', 'group.delete'].includes(action)) return undefined
  const [kind, ...rest] = subject.split(':')
  const id = encodeURIComponent(rest.join(':'))
  if (kind === 'key' && id) return `/api-keys/${id}`
  if (kind === 'account' && id) return `/accounts/${id}`
  if (kind === 'call' && id) return `/requests/${id}`
  return kind === 'prices' || kind === 'routes' || kind === 'site' || kind === 'admin' ? '/settings' : undefined
}

const isEmpty = (value: unknown) =>
  value === null || value === '' || value === false || value === 0 || (typeof value === 'object' && Object.keys(value!).length === 0)

/** What a new record has when nobody says otherwise; its name stands beside the action anyway. */
const usual: Record<string, unknown> = {
  activationUnit: 'days', expirationMode: 'fixed', modelRestrictionMode: 'deny', weeklyResetDay: 1, bindingFallback: true,
  isActive: true, schedulable: true, shared: true, priority: 50, showAdminButton: true,
}

/** Parts a new record's fields into those that say something and those that were left as they are by themselves. */
export function telling(entry: Pick<AuditEntry, 'action' | 'changes'>): { first: AuditChange[]; rest: AuditChange[] } {
  const isNew = entry.action.endsWith('.create')
  const says = (change: AuditChange) => !isNew || (!change.secret && change.field !== 'name' && !isEmpty(change.to) && usual[change.field] !== change.to)
  const [first, rest] = [entry.changes.filter(says), entry.changes.filter((change) => !says(change))]
  // A few more are no reason for a button.
  if (isNew || first.length <= most + 2) return { first, rest }
  return { first: first.slice(0, most), rest: [...first.slice(most), ...rest] }
}
const most = 6

/** `dailyCostLimit` as words, for a field that has no text yet. */
export const asWords = (field: string) => field.replace(/([a-z])([A-Z])/g, (_, a: string, b: string) => `${a} ${b.toLowerCase()}`).replaceAll('_', ' ')

/** A value that is no text, number or moment: lists with commas, records as `name: value`. */
export function flat(value: unknown, nameOf: (id: string) => string): string {
  if (Array.isArray(value)) return value.map((one) => flat(one, nameOf)).join(', ')
  if (typeof value === 'object' && value !== null) return Object.entries(value).map(([key, one]) => `${asWords(key)}: ${flat(one, nameOf)}`).join(', ')
  return typeof value === 'string' ? nameOf(value) : String(value)
}
