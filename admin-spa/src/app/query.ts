import { keepPreviousData, QueryClient, useMutation, useQuery } from '@tanstack/vue-query'
import { computed, effectScope, ref, watch } from 'vue'
import { ApiError } from '@/api/error'
import { activity } from './activity'

export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 5_000,
      refetchOnWindowFocus: false,
      // A refusal stays one; only an answer that did not come is worth another try.
      retry: (count, error) => count < 1 && error instanceof ApiError && (error.status === 0 || error.status >= 502),
      retryDelay: 1_000,
    },
  },
})

/** How often live data is read again, in milliseconds: each answer of a Worker costs quota. */
export const pollEvery = ref(15_000)
/** How long a person pauses in a word before it is looked for, in milliseconds. On a Worker each try costs quota. */
export const typingPause = ref(100)
/**
 * Records that one batch request changes: the API's most. On a Worker each takes two looks at the store, and the free
 * plan allows a request fifty.
 */
export const batchSize = ref(100)
export function setHost(host: 'native' | 'worker') {
  pollEvery.value = host === 'worker' ? 60_000 : 15_000
  typingPause.value = host === 'worker' ? 250 : 100
  batchSize.value = host === 'worker' ? 12 : 100
}

let lastPoll = Date.now()

/** Starts the one poll clock. It runs in a visible tab while somebody is there. */
export function startPolling() {
  effectScope(true).run(() =>
    watch([activity.now, activity.visible], ([now, visible]) => {
      if (!visible || activity.idle.value) return
      const due = now - lastPoll >= pollEvery.value
      if (due) lastPoll = now
      void queryClient.refetchQueries(
        { type: 'active', predicate: ({ meta, state }) => (due && meta?.live === true) || ((due || state.status !== 'error') && (meta?.unfinished as Unfinished | undefined)?.(state.data) === true) },
        { cancelRefetch: false },
      )
    }),
  )
}

type Unfinished = (data: unknown) => boolean

export interface ReadOptions<T = unknown> {
  /** `true`: read again by the poll clock. Never for what costs a call per row on the edge. */
  live?: boolean
  /** Whether the answer shows something that still runs: it is read again each second until it does not. */
  unfinished?: (data: T) => boolean
  /** `false`: not yet, for example since an id is missing. */
  enabled?: boolean
  /** Milliseconds for which an answer counts as fresh. */
  staleTime?: number
}

/**
 * Reads from the API. `key` and `options` are getters, so that they follow the URL. The last answer stays visible
 * while the next one loads (`isPlaceholderData`).
 */
export function useRead<T>(key: () => readonly unknown[], call: (signal: AbortSignal) => Promise<T>, options: () => ReadOptions<T> = () => ({})) {
  const query = useQuery<T, ApiError>(
    computed(() => {
      const { live = false, unfinished, enabled = true, staleTime } = options()
      return {
        queryKey: key(),
        queryFn: ({ signal }: { signal: AbortSignal }) => call(signal),
        placeholderData: keepPreviousData,
        enabled,
        meta: { live, unfinished: unfinished && ((data: unknown) => data !== undefined && unfinished(data as T)) },
        // Answers are replaced and never changed in place: a proxy around each row and field only costs.
        shallow: true,
        ...(staleTime === undefined ? {} : { staleTime }),
      }
    }) as never,
  )
  /** Three polls were missed: what is shown is old. */
  const stale = computed(
    () => query.data.value !== undefined && options().live === true && activity.now.value - query.dataUpdatedAt.value > 3 * pollEvery.value + 5_000,
  )
  return { ...query, stale }
}

/** Changes something. The same once more while it runs is the one that runs. `touches`: key heads to read again. */
export function useWrite<Input, Output>(call: (input: Input) => Promise<Output>, touches: readonly string[] = []) {
  const mutation = useMutation<Output, ApiError, Input>({
    mutationFn: call,
    onSettled: () => Promise.all(touches.map((head) => queryClient.invalidateQueries({ queryKey: [head] }))).then(() => undefined),
  })
  const running = new Map<string, Promise<Output>>()
  const run = (input: Input): Promise<Output> => {
    const what = JSON.stringify(input) ?? ''
    let one = running.get(what)
    if (!one) {
      one = mutation.mutateAsync(input).finally(() => running.delete(what))
      running.set(what, one)
    }
    return one
  }
  return { ...mutation, run }
}
