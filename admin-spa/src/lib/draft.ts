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

/** What both have changed of an object with names of its own, such as a mapping: each name by itself. */
function merged(base: unknown, mine: unknown, theirs: unknown): { value: unknown; clash: boolean } {
  if (!isPlain(base) || !isPlain(mine) || !isPlain(theirs)) return { value: mine, clash: !same(base, theirs) && !same(mine, theirs) }
  const value: Plain = {}
  let clash = false
  for (const name of new Set([...Object.keys(theirs), ...Object.keys(mine)])) {
    const isMine = !same(mine[name], base[name])
    clash ||= isMine && !same(theirs[name], base[name]) && !same(mine[name], theirs[name])
    const from = isMine ? mine : theirs
    if (name in from) value[name] = from[name]
  }
  return { value, clash }
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

  /** Gives whether something clashes that did not before. A clash is told until one of the two gives way. */
  function load(next: T): boolean {
    const [was, now, mine] = [base.value as Plain, next as Plain, patch.value as Plain]
    const kept: Plain = {}
    const clashes: Change[] = []
    let fresh = false
    for (const [field, value] of Object.entries(mine)) {
      const both = merged(was[field], value, now[field])
      kept[field] = both.value
      const told = theirs.value.some((one) => one.field === field)
      if (both.clash || (told && !same(both.value, now[field]))) clashes.push({ field, from: copy(value), to: copy(now[field]) })
      fresh ||= both.clash
    }
    theirs.value = clashes
    base.value = copy(next)
    assign({ ...next, ...kept } as T)
    return fresh
  }

  function reset() {
    assign(base.value)
    theirs.value = []
    clearErrors()
  }

  let sending = false
  /**
   * Runs `save`; a refusal lands at its field, or in `problem`. Gives whether it went well. `read`: what the server has
   * now. If somebody else changed what was edited here, that is told in `theirs` and not sent: the next try is.
   */
  async function submit(save: (patch: Partial<T>, whole: T) => Promise<unknown>, read?: () => Promise<T>): Promise<boolean> {
    // The answer that is under way decides.
    if (sending) return false
    sending = true
    clearErrors()
    try {
      if (read && load(await read())) return false
      await save(copy(patch.value) as Partial<T>, copy(value))
      base.value = copy(value)
      theirs.value = []
      return true
    } catch (error) {
      if (!(error instanceof ApiError)) throw error
      if (error.field) errors[error.field] = error.message
      else problem.value = error
      return false
    } finally {
      sending = false
    }
  }

  /** The complaint about a field, or about anything inside it (`proxy.host` for `proxy`). */
  const errorOf = (field: string) =>
    errors[field] ?? Object.entries(errors).find(([name]) => name.startsWith(`${field}.`) || name.startsWith(`${field}[`))?.[1]

  return { value, dirty, patch, changes, errors, errorOf, problem, theirs, load, reset, submit, clearErrors }
}
