import { computed, ref, shallowRef } from 'vue'
import { ApiError, batchApiKeys, type BatchChange, type Key } from '@/api'
import { activity } from '@/app/activity'
import { batchSize, queryClient } from '@/app/query'
import { each, requestsOf, type BatchTask } from './batch'

export interface BatchLine {
  id: string
  name: string
  changes: BatchChange[]
  state: 'waiting' | 'same' | 'ok' | 'failed'
  error?: { code: string; message: string }
}

/** Requests at the same time: each of them changes several keys at the same time. */
const WIDTH = 2

/** A batch: what it would do, by the server's word; then done, with a result for each key. */
export function useBatch() {
  const lines = shallowRef<BatchLine[]>()
  const busy = ref(false)
  const over = ref(false)
  const work = computed(() => lines.value?.filter((line) => line.state === 'waiting') ?? [])
  const failures = computed(() => lines.value?.filter((line) => line.state === 'failed') ?? [])

  /** `told`: the lines that a result is about become it. */
  async function send(keys: readonly Key[], task: BatchTask, dryRun: boolean) {
    const told = new Map<string, Partial<BatchLine>>()
    await each(requestsOf(keys, task, activity.now.value, batchSize.value), WIDTH, (body) => batchApiKeys({ body: { ...body, dryRun } }), (body, answer) => {
      if (answer instanceof Error) {
        const error = { code: answer instanceof ApiError ? answer.code : 'unknown', message: answer.message }
        for (const id of body.ids) told.set(id, { state: 'failed', error })
        return
      }
      for (const one of answer.results) {
        const plain = task.kind === 'action' && !['enable', 'disable'].includes(task.action)
        const state = !one.ok ? 'failed' : !plain && !one.changes.length ? 'same' : dryRun ? 'waiting' : 'ok'
        told.set(one.id, { state, changes: one.changes, error: one.error ? { code: one.error.error, message: one.error.message } : undefined })
      }
      if (!dryRun) lines.value = lines.value?.map((line) => ({ ...line, ...told.get(line.id) }))
    })
    return told
  }

  async function look(keys: readonly Key[], task: BatchTask) {
    const told = await send(keys, task, true)
    lines.value = keys.map((key) => ({ id: key.id, name: key.name, changes: [], state: 'same', ...told.get(key.id) }))
  }

  /** Of the keys that were looked at, those that will change. */
  async function run(keys: readonly Key[], task: BatchTask) {
    const waiting = new Set(work.value.map((line) => line.id))
    await send(keys.filter((key) => waiting.has(key.id)), task, false)
    over.value = true
    await queryClient.invalidateQueries({ queryKey: ['api-keys'] })
  }

  /** One at a time: a second press does nothing. */
  async function once(call: () => Promise<unknown>) {
    if (busy.value) return
    busy.value = true
    try {
      await call()
    } finally {
      busy.value = false
    }
  }

  return { lines, busy, over, work, failures, look, run, once }
}
