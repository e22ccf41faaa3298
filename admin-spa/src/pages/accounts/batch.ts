import type { AccountAction, AccountBatchInput, AccountChange, BatchItem, BatchResult } from '@/api'
import type { Usd } from '@/lib/money'

/** What a person can do to many accounts at once: actions, and settings that are the same for all. */
export const ACTIONS = ['pause', 'resume', 'disable', 'enable', 'reset', 'flushSessions', 'delete'] as const satisfies readonly AccountAction[]
export const SETTINGS = ['priority', 'maxConcurrency', 'dailyQuota', 'reservePercent', 'shared', 'groups'] as const satisfies readonly (keyof AccountChange)[]
export type BatchKind = (typeof ACTIONS)[number] | (typeof SETTINGS)[number]
export const KINDS: readonly BatchKind[] = [...ACTIONS, ...SETTINGS]

export interface BatchForm {
  kind: BatchKind
  number: number
  amount: Usd
  on: boolean
  groups: string[]
}

const isAction = (kind: BatchKind): kind is (typeof ACTIONS)[number] => (ACTIONS as readonly string[]).includes(kind)

/** What is sent for each of them. */
export function whatOf(form: BatchForm): Pick<AccountBatchInput, 'action' | 'change'> {
  if (isAction(form.kind)) return { action: form.kind }
  switch (form.kind) {
    case 'dailyQuota': return { change: { dailyQuota: form.amount } }
    case 'shared': return { change: { shared: form.on } }
    case 'groups': return { change: { groups: form.groups } }
    case 'priority': return { change: { priority: form.number } }
    case 'maxConcurrency': return { change: { maxConcurrency: form.number } }
    case 'reservePercent': return { change: { reservePercent: form.number } }
  }
}

/** The actions that change no field, so that a look beforehand only says whom they meet. */
export const changesNothingShown = (kind: BatchKind) => kind === 'reset' || kind === 'flushSessions' || kind === 'delete'

export type ItemState = 'waiting' | 'same' | 'ok' | 'failed'
export function stateOf(item: BatchItem, kind: BatchKind, dryRun: boolean): ItemState {
  if (!item.ok) return 'failed'
  if (!item.changes.length && !changesNothingShown(kind)) return 'same'
  return dryRun ? 'waiting' : 'ok'
}

/** One request takes `most` accounts; more go one after the other. What one request fails with, its accounts fail with. */
export async function inParts(ids: readonly string[], most: number, send: (ids: string[]) => Promise<BatchResult>): Promise<BatchItem[]> {
  const items: BatchItem[] = []
  for (let from = 0; from < ids.length; from += most) {
    const part = ids.slice(from, from + most)
    try {
      items.push(...(await send(part)).results)
    } catch (error) {
      // Nothing was done yet: the whole request is at fault.
      if (from === 0) throw error
      const { message, code } = error as Error & { code?: string }
      items.push(...part.map((id) => ({ id, name: null, ok: false, changes: [], error: { error: code ?? 'unknown', message, field: null } })))
    }
  }
  return items
}
