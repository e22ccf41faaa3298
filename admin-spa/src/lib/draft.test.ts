import { expect, test } from 'vitest'
import { reactive, readonly } from 'vue'
import { ApiError } from '@/api/error'
import { useDraft } from './draft'

const start = () => ({ name: 'a', limit: 5, tags: ['x'], proxy: { host: 'h', port: 1 } as { host: string; port: number } | null })

test('only what changed is sent', async () => {
  const draft = useDraft(start())
  expect(draft.dirty.value).toBe(false)
  draft.value.limit = 6
  draft.value.tags.push('y')
  draft.value.tags.pop()
  draft.value.proxy = null
  let sent: unknown
  expect(await draft.submit(async (patch) => void (sent = patch))).toBe(true)
  expect(sent).toEqual({ limit: 6, proxy: null })
  expect(draft.dirty.value).toBe(false)
})

test('a change that was taken back is none', () => {
  const draft = useDraft(start())
  draft.value.proxy!.port = 2
  expect(draft.changes.value).toEqual([{ field: 'proxy', from: { host: 'h', port: 1 }, to: { host: 'h', port: 2 } }])
  draft.value.proxy!.port = 1
  expect(draft.dirty.value).toBe(false)
})

test("the server's complaint lands at its field, and goes with the next try", async () => {
  const draft = useDraft(start())
  draft.value.name = ''
  const refuse = async () => {
    throw new ApiError(422, 'invalid_field', 'no host', 'req_1', 'proxy.host')
  }
  expect(await draft.submit(refuse)).toBe(false)
  expect(draft.errorOf('proxy')).toBe('no host')
  expect(draft.errorOf('proxy.host')).toBe('no host')
  expect(draft.errorOf('name')).toBeUndefined()
  expect(draft.problem.value).toBeUndefined()
  await draft.submit(async () => undefined)
  expect(draft.errors).toEqual({})
})

test('a refusal without a field is the problem of the whole form, and other errors are thrown', async () => {
  const draft = useDraft(start())
  const conflict = new ApiError(409, 'conflict', 'taken')
  await draft.submit(() => Promise.reject(conflict))
  expect(draft.problem.value?.code).toBe('conflict')
  await expect(draft.submit(() => Promise.reject(new TypeError('bug')))).rejects.toThrow('bug')
})

test('fresh data keeps what was typed and reports what clashes', () => {
  const draft = useDraft(start())
  draft.value.name = 'mine'
  draft.load({ ...start(), name: 'theirs', limit: 9 })
  expect(draft.value.name).toBe('mine')
  expect(draft.value.limit).toBe(9)
  expect(draft.theirs.value).toEqual([{ field: 'name', from: 'mine', to: 'theirs' }])
  expect(draft.patch.value).toEqual({ name: 'mine' })
  draft.reset()
  expect(draft.value.name).toBe('theirs')
  expect(draft.theirs.value).toEqual([])
})

test('an answer that Vue has wrapped is taken, and not changed through the draft', () => {
  const answer = reactive(start())
  const draft = useDraft({ ...readonly(answer) } as ReturnType<typeof start>)
  draft.value.tags.push('y')
  draft.value.proxy!.host = 'other'
  draft.load({ ...readonly(answer), limit: 9 } as ReturnType<typeof start>)
  expect(answer).toEqual(start())
  expect(draft.patch.value).toEqual({ tags: ['x', 'y'], proxy: { host: 'other', port: 1 } })
})

test('a value that was reached into can be sent and loaded', async () => {
  const draft = useDraft({ ...start(), mapping: {} as Record<string, string> })
  draft.value.mapping.a = 'b'
  draft.value.tags.push('y')
  let sent: unknown
  await draft.submit((patch) => Promise.resolve((sent = patch)))
  expect(sent).toEqual({ mapping: { a: 'b' }, tags: ['x', 'y'] })
  draft.value.proxy!.port = 9
  draft.load({ ...start(), tags: ['z'], mapping: {} })
  expect(draft.value.proxy).toEqual({ host: 'h', port: 9 })
  expect(draft.value.tags).toEqual(['z'])
})

test('what is nested in a draft is sent, and not shared with what was loaded', async () => {
  const loaded = { sheet: { a: { input: '1', tags: ['x'] } } as Record<string, { input: string; tags: string[] }> }
  const draft = useDraft(loaded)
  draft.value.sheet.b = { input: '2', tags: [] }
  draft.value.sheet.a!.tags.push('y')
  // What Vue hands out is a proxy all the way down.
  draft.value.sheet = { ...draft.value.sheet }
  let sent: unknown
  expect(await draft.submit(async (_, whole) => void (sent = whole))).toBe(true)
  expect(sent).toEqual({ sheet: { a: { input: '1', tags: ['x', 'y'] }, b: { input: '2', tags: [] } } })
  expect(loaded.sheet).toEqual({ a: { input: '1', tags: ['x'] } })
})

test('a clash is told until one gives way, and not again by the same answer', () => {
  const draft = useDraft(start())
  draft.value.name = 'mine'
  expect(draft.load({ ...start(), name: 'theirs' })).toBe(true)
  // The next poll brings nothing new about it.
  expect(draft.load({ ...start(), name: 'theirs', limit: 6 })).toBe(false)
  expect(draft.theirs.value).toEqual([{ field: 'name', from: 'mine', to: 'theirs' }])
  expect(draft.load({ ...start(), name: 'theirs too' })).toBe(true)
  expect(draft.theirs.value).toEqual([{ field: 'name', from: 'mine', to: 'theirs too' }])
  expect(draft.load({ ...start(), name: 'mine' })).toBe(false)
  expect(draft.theirs.value).toEqual([])
  expect(draft.dirty.value).toBe(false)
})

test('of an object with names each keeps what was changed in it', () => {
  const draft = useDraft({ sheet: { a: { price: 1 }, b: { price: 1 }, gone: { price: 1 } } as Record<string, { price: number }> })
  draft.value.sheet.a = { price: 2 }
  delete draft.value.sheet.gone
  expect(draft.load({ sheet: { a: { price: 1 }, b: { price: 5 }, gone: { price: 1 }, fresh: { price: 7 } } })).toBe(false)
  expect(draft.value.sheet).toEqual({ a: { price: 2 }, b: { price: 5 }, fresh: { price: 7 } })
  expect(draft.theirs.value).toEqual([])
  expect(draft.load({ sheet: { a: { price: 9 }, b: { price: 5 }, gone: { price: 1 }, fresh: { price: 7 } } })).toBe(true)
  expect(draft.theirs.value).toHaveLength(1)
  expect(draft.value.sheet.a).toEqual({ price: 2 })
})

test('what somebody else changed is read before it is overwritten', async () => {
  const draft = useDraft(start())
  draft.value.name = 'mine'
  const sent: unknown[] = []
  const save = async (patch: unknown) => void sent.push(patch)
  const read = async () => ({ ...start(), name: 'theirs', limit: 9 })
  expect(await draft.submit(save, read)).toBe(false)
  expect(sent).toEqual([])
  expect(draft.theirs.value).toHaveLength(1)
  expect(await draft.submit(save, read)).toBe(true)
  expect(sent).toEqual([{ name: 'mine' }])
})

test('a second try while one is under way does not say that it went well', async () => {
  const draft = useDraft(start())
  draft.value.name = 'mine'
  let refuse!: (error: Error) => void
  const first = draft.submit(() => new Promise((_, reject) => (refuse = reject)))
  expect(await draft.submit(async () => undefined)).toBe(false)
  refuse(new ApiError(422, 'invalid_field', 'no', 'req_1', 'name'))
  expect(await first).toBe(false)
  expect(draft.errorOf('name')).toBe('no')
})
