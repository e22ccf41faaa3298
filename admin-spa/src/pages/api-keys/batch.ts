import type { Key } from '@/api'
import { diff, type Change } from '@/lib/draft'
import { addUsd, type Usd } from '@/lib/money'
import { extended, pickConfig, type KeyConfig } from './config'

export type BatchChange =
  | { kind: 'limit'; field: 'dailyCostLimit' | 'weeklyCostLimit' | 'weeklyOpusCostLimit' | 'totalCostLimit'; how: 'set' | 'add'; amount: Usd }
  | { kind: 'concurrency'; value: number }
  | { kind: 'extend'; days: number }
  | { kind: 'addTag' | 'removeTag'; tag: string }
  | { kind: 'active'; value: boolean }
  | { kind: 'delete' | 'restore' | 'purge' }

/** What PATCH is sent for one key; empty: it has that already. */
export function patchOf(key: Key, change: BatchChange, now: number): Partial<KeyConfig & Pick<Key, 'isActive'>> {
  const before = { ...pickConfig(key), isActive: key.isActive }
  const after = { ...before }
  switch (change.kind) {
    case 'limit':
      // Adding to "no limit" would make a limit where there was none.
      if (change.how === 'set') after[change.field] = change.amount
      else if (before[change.field] > 0) after[change.field] = addUsd(before[change.field], change.amount)
      break
    case 'concurrency': after.concurrencyLimit = change.value; break
    case 'extend':
      if (key.expiresAt) after.expiresAt = extended(key.expiresAt, change.days, now)
      break
    case 'addTag': if (!before.tags.includes(change.tag)) after.tags = [...before.tags, change.tag]; break
    case 'removeTag': after.tags = before.tags.filter((tag) => tag !== change.tag); break
    case 'active': after.isActive = change.value; break
  }
  return diff(before, after)
}

export const changesOf = (key: Key, patch: object): Change[] =>
  Object.entries(patch).map(([field, to]) => ({ field, from: key[field as keyof Key], to }))

/** Runs `work` for each item, `width` at a time, in order; never throws. `done` is told of each result. */
export async function each<T>(items: readonly T[], width: number, work: (item: T) => Promise<unknown>, done: (item: T, error?: Error) => void) {
  let next = 0
  const worker = async () => {
    while (next < items.length) {
      const item = items[next++]!
      await work(item).then(() => done(item), (error: Error) => done(item, error))
    }
  }
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, worker))
}

/** All pages of a list, 100 at a time. */
export async function everyPage<T>(read: (page: number) => Promise<{ items: T[]; totalPages: number }>): Promise<T[]> {
  const all: T[] = []
  for (let page = 1; ; page++) {
    const { items, totalPages } = await read(page)
    all.push(...items)
    if (page >= totalPages || !items.length) return all
  }
}
