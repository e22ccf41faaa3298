import { computed, type WritableComputedRef } from 'vue'
import { useRoute, useRouter } from 'vue-router'

/** One value of the query string: how it is read, and how it is written (`undefined`: left out). */
export interface Param<T> {
  read(text: string | undefined): T
  write(value: T): string | undefined
}

export const text = (standard = ''): Param<string> => ({
  read: (value) => value ?? standard,
  write: (value) => (value === standard ? undefined : value),
})

export const oneOf = <T extends string>(values: readonly T[], standard: T): Param<T> => ({
  read: (value) => (values.includes(value as T) ? (value as T) : standard),
  write: (value) => (value === standard ? undefined : value),
})

export const optionOf = <T extends string>(values: readonly T[]): Param<T | undefined> => ({
  read: (value) => (values.includes(value as T) ? (value as T) : undefined),
  write: (value) => value,
})

export const whole = (standard: number, least = 1, most = Number.MAX_SAFE_INTEGER): Param<number> => ({
  read(value) {
    const number = Number(value)
    return value !== undefined && Number.isInteger(number) && number >= least && number <= most ? number : standard
  },
  write: (value) => (value === standard ? undefined : String(value)),
})

export const flag = (): Param<boolean> => ({ read: (value) => value === '1', write: (value) => (value ? '1' : undefined) })

function decode(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return ''
  }
}

export const list = (): Param<string[]> => ({
  read: (value) => (value ? value.split(',').map(decode).filter(Boolean) : []),
  write: (value) => (value.length ? value.map(encodeURIComponent).join(',') : undefined),
})

export type Params = Record<string, Param<never>>
type Values<P> = { [K in keyof P]: P[K] extends Param<infer T> ? T : never }

export function readParams<P extends object>(params: P, query: Record<string, unknown>): Values<P> {
  return Object.fromEntries(
    Object.entries(params).map(([name, param]) => {
      const raw = query[name]
      const value = Array.isArray(raw) ? raw[0] : raw
      return [name, (param as Param<unknown>).read(typeof value === 'string' ? value : undefined)]
    }),
  ) as Values<P>
}

/** The query string with the values; what is standard is left out, what is unknown stays. */
export function writeParams<P extends object>(params: P, values: Values<P>, query: Record<string, unknown>) {
  const next: Record<string, unknown> = { ...query }
  for (const [name, param] of Object.entries(params)) {
    const value = (param as Param<unknown>).write((values as Record<string, unknown>)[name])
    if (value === undefined || value === '') delete next[name]
    else next[name] = value
  }
  return next
}

/**
 * A page's filter as the URL has it. `set` changes some values: with `push` as a step of history (a page, a tab),
 * else in place (typing). A change of anything but `page` goes back to the first page.
 */
export function useUrlState<P extends object>(params: P) {
  const route = useRoute()
  const router = useRouter()
  const state = computed(() => readParams(params, route.query))
  const set = (change: Partial<Values<P>>, how: 'push' | 'replace' = 'replace') => {
    const next = { ...state.value, ...change }
    if ('page' in params && !('page' in change)) Object.assign(next, { page: 1 })
    return router[how]({ query: writeParams(params, next, route.query) as never, hash: route.hash })
  }
  const bind = <K extends keyof P>(name: K): WritableComputedRef<Values<P>[K]> =>
    computed({ get: () => state.value[name], set: (value) => void set({ [name]: value } as unknown as Partial<Values<P>>) })
  /** Whether a filter other than page, size and sort is set. */
  const filtered = computed(() => {
    const left = writeParams(params, state.value, {})
    return Object.keys(left).some((name) => !['page', 'pageSize', 'sort', 'order'].includes(name))
  })
  const clear = () => {
    const standard = readParams(params, {})
    const keep = Object.fromEntries(['pageSize', 'sort', 'order'].flatMap((name) => (name in params ? [[name, state.value[name as keyof P]]] : [])))
    return set({ ...standard, ...keep } as Partial<Values<P>>)
  }
  /** The state as the query string has it, without the page: what a saved view is made of. */
  const query = computed(() => {
    const left = writeParams(params, state.value, {}) as Record<string, string>
    return Object.fromEntries(Object.entries(left).filter(([name]) => name !== 'page'))
  })
  /** Takes a query string in place of the state, as a step of history. What is wrong in it counts as left out. */
  const take = (next: Record<string, string>) => set(readParams(params, next), 'push')
  return { state, set, bind, filtered, clear, query, take }
}
