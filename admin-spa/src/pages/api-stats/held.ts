import { computed, shallowRef } from 'vue'
import { ApiError } from '@/api/error'

/**
 * The keys that this tab looks at. Their ids are in sessionStorage, so that a reload shows them again; their texts
 * are in memory only, and gone with the page.
 */
export interface Held {
  id: string
  /** The key itself, as long as the page is open. */
  secret?: string
}

const store = 'crs-stats'
/** Keys at once; the API takes no more. */
export const mostKeys = 30
const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

function stored(): Held[] {
  try {
    const ids = JSON.parse(sessionStorage.getItem(store) ?? '[]') as unknown
    return Array.isArray(ids) ? ids.filter((id) => typeof id === 'string' && uuid.test(id)).map((id: string) => ({ id })) : []
  } catch {
    // A broken entry is as good as none.
    return []
  }
}

const all = shallowRef<Held[]>([])
let restored = false

function keep(next: Held[]) {
  all.value = next
  try {
    if (next.length) sessionStorage.setItem(store, JSON.stringify(next.map((one) => one.id)))
    else sessionStorage.removeItem(store)
  } catch {
    // Storage may be off: then a reload asks again.
  }
}

/** Adds keys in their order; one that is there gets its text. */
function add(found: readonly Held[]) {
  const next = [...all.value]
  for (const one of found) {
    const at = next.findIndex((held) => held.id === one.id)
    if (at >= 0) next[at] = { ...next[at], ...one }
    else if (next.length < mostKeys) next.push(one)
  }
  keep(next)
}

export const held = {
  all: computed(() => all.value),
  add,
  /** Reads what this tab has kept, and the ids that CRS writes into its links. */
  restore(query: Record<string, unknown> = {}) {
    if (!restored) all.value = stored()
    restored = true
    add(linkedIds(query).map((id) => ({ id })))
  },
  /** Forgets one key, or all. */
  forget: (id?: string) => keep(id ? all.value.filter((one) => one.id !== id) : []),
}

/** The ids of `?apiId=` and `?apiIds=a,b`, as CRS's links have them. */
export function linkedIds(query: Record<string, unknown>): string[] {
  const texts = [query.apiId, query.apiIds].flat().filter((text): text is string => typeof text === 'string')
  return [...new Set(texts.flatMap((text) => text.split(',')).map((text) => text.trim()).filter((text) => uuid.test(text)))]
}

/** Whether an answer is about the key itself: said once for the whole page, not in each part. */
export const isAboutKey = (error: Error | null): boolean => error instanceof ApiError && [401, 403, 404].includes(error.status)

/** Keys in a pasted text, each once: they hold no white space, commas or quotes. What they were pasted with is no key. */
export const keysIn = (text: string): string[] => {
  const parts = text.split(/[\s,;"'`]+/).map((part) => part.replace(/^(\$env:)?[A-Z][A-Z0-9_]*=/, ''))
  return [...new Set(parts.filter((part) => part && !/^(export|set|\$env:\w+|=|authorization:|x-api-key:|bearer)$/i.test(part)))]
}
