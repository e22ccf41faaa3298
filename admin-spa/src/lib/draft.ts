import { computed, reactive, ref, toRaw, type Ref } from 'vue'
import { ApiError } from '@/api/error'

type Plain = Record<string, unknown>
const isPlain = (value: unknown): value is Plain => typeof value === 'object' && value !== null && !Array.isArray(value)

export function same(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((one, i) => same(one, b[i]))
  if (!isPlain(a) || !isPlain(b)) return false
  const names = new Set([...Object.keys(a), ...Object.keys(b)])
  return [...names].every((name) => same(a[name], b[name]))
}

export interface Change {
  field: string
  from: unknown
  to: unknown
}

/** The top fields that differ: what a PATCH sends. */
export function diff<T extends object>(from: T, to: T): Partial<T> {
  return Object.fromEntries(Object.entries(to).filter(([name, value]) => !same((from as Plain)[name], value))) as Partial<T>
}

/** A copy without Vue's proxies, which `structuredClone` refuses at any depth. Drafts hold plain JSON. */
function copy<T>(value: T): T {
  const raw: unknown = toRaw(value)
  if (Array.isArray(raw)) return raw.map(copy) as T
  if (isPlain(raw)) return Object.fromEntries(Object.entries(raw).map(([name, one]) => [name, copy(one)])) as T
  return raw as T
}

/**
 * A form's state: `value` to edit, what differs from what was loaded, and the server's complaint by field.
 * `load` takes what the server has; while there are changes it keeps them and reports the clash in `theirs`.
 */
export function useDraft<T extends object>(initial: T) {
  const base = ref(copy(initial)) as Ref<T>
  const value = reactive(copy(initial)) as T
  const errors = reactive<Record<string, string>>({})
  const problem = ref<ApiError>()
  /** Fields that the server changed meanwhile, while they were edited here. */
  const theirs = ref<Change[]>([])

  const patch = computed(() => diff(base.value, value))
  const dirty = computed(() => Object.keys(patch.value).length > 0)
  const changes = computed<Change[]>(() =>
    Object.entries(patch.value).map(([field, to]) => ({ field, from: (base.value as Plain)[field], to })),
  )

  function clearErrors() {
    for (const name of Object.keys(errors)) delete errors[name]
    problem.value = undefined
  }

  function assign(next: T) {
    for (const name of Object.keys(value)) if (!(name in next)) delete (value as Plain)[name]
    Object.assign(value, copy(next))
  }

  function load(next: T) {
    const mine = patch.value as Plain
    theirs.value = Object.entries(diff(base.value, next))
      .filter(([field, to]) => field in mine && !same(mine[field], to))
      .map(([field, to]) => ({ field, from: mine[field], to }))
    base.value = copy(next)
    assign({ ...next, ...mine } as T)
  }

  function reset() {
    assign(base.value)
    theirs.value = []
    clearErrors()
  }

  /** Runs `save`; a refusal lands at its field, or in `problem`. Gives whether it went well. */
  async function submit(save: (patch: Partial<T>, whole: T) => Promise<unknown>): Promise<boolean> {
    clearErrors()
    try {
      await save(copy(patch.value) as Partial<T>, copy(value))
      base.value = copy(value)
      theirs.value = []
      return true
    } catch (error) {
      if (!(error instanceof ApiError)) throw error
      if (error.field) errors[error.field] = error.message
      else problem.value = error
      return false
    }
  }

  /** The complaint about a field, or about anything inside it (`proxy.host` for `proxy`). */
  const errorOf = (field: string) =>
    errors[field] ?? Object.entries(errors).find(([name]) => name.startsWith(`${field}.`) || name.startsWith(`${field}[`))?.[1]

  return { value, dirty, patch, changes, errors, errorOf, problem, theirs, load, reset, submit, clearErrors }
}
