import type { Key, KeyBatchInput } from '@/api'
import type { MoneyField } from '@/lib/limits'
import { addUsd, type Usd } from '@/lib/money'
import { extended } from './config'

export type BatchTask =
  | { kind: 'limit'; field: MoneyField; how: 'set' | 'add'; amount: Usd }
  | { kind: 'concurrency'; value: number }
  | { kind: 'extend'; days: number }
  | { kind: 'addTag' | 'removeTag'; tag: string }
  | { kind: 'action'; action: NonNullable<KeyBatchInput['action']> }

type Body = Omit<KeyBatchInput, 'ids' | 'dryRun'>
/** What one key is to become; nothing: it has no such limit or end, and gets none. */
function bodyOf(key: Key, task: BatchTask, now: number): Body | undefined {
  switch (task.kind) {
    case 'limit': {
      if (task.how === 'set') return { change: { [task.field]: task.amount } }
      const limit = key[task.field]
      return limit > 0 ? { change: { [task.field]: addUsd(limit, task.amount) } } : undefined
    }
    case 'concurrency': return { change: { concurrencyLimit: task.value } }
    case 'extend': return key.expiresAt && key.expirationMode === 'fixed' ? { change: { expiresAt: extended(key.expiresAt, task.days, now) } } : undefined
    case 'addTag': return { addTags: [task.tag] }
    case 'removeTag': return { removeTags: [task.tag] }
    case 'action': return { action: task.action }
  }
}

/** As few requests as can be: keys that become the same share one, up to `most`. */
export function requestsOf(keys: readonly Key[], task: BatchTask, now: number, most: number): Omit<KeyBatchInput, 'dryRun'>[] {
  const groups = new Map<string, { body: Body; ids: string[] }>()
  for (const key of keys) {
    const body = bodyOf(key, task, now)
    if (!body) continue
    const same = JSON.stringify(body)
    const group = groups.get(same) ?? { body, ids: [] }
    group.ids.push(key.id)
    groups.set(same, group)
  }
  return [...groups.values()].flatMap(({ body, ids }) =>
    Array.from({ length: Math.ceil(ids.length / most) }, (_, at) => ({ ...body, ids: ids.slice(at * most, (at + 1) * most) })),
  )
}

/** Runs `work` for each item, `width` at a time, in order; never throws. `done` is told of each result. */
export async function each<T, R>(items: readonly T[], width: number, work: (item: T) => Promise<R>, done: (item: T, result: R | Error) => void) {
  let next = 0
  const worker = async () => {
    while (next < items.length) {
      const item = items[next++]!
      await work(item).then((result) => done(item, result), (error: Error) => done(item, error))
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
