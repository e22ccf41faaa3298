import { computed } from 'vue'
import { listModels } from '@/api'
import { useRead } from './query'

/** Which models are charged a price that is a guess, since nobody has set theirs. */
export function useGuesses(enabled: () => boolean = () => true) {
  const read = useRead(() => ['models'], (signal) => listModels({ signal }), () => ({ staleTime: 60_000, enabled: enabled() }))
  const guessed = computed(() => new Set((read.data.value?.items ?? []).filter((one) => one.source === 'dearestOfFamily').map((one) => one.model)))
  return (model: string) => guessed.value.has(model)
}
