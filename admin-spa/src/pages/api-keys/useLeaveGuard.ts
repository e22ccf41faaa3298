import { onBeforeUnmount, onMounted, ref } from 'vue'
import { onBeforeRouteLeave } from 'vue-router'

/** Asks before the page is left while `held` says so. `asking` opens the question, `answer` ends it. */
export function useLeaveGuard(held: () => boolean) {
  const asking = ref(false)
  let decide: ((leave: boolean) => void) | undefined
  onBeforeRouteLeave(() => {
    if (!held()) return true
    decide?.(false)
    asking.value = true
    return new Promise<boolean>((resolve) => (decide = resolve))
  })
  function answer(leave: boolean) {
    asking.value = false
    decide?.(leave)
    decide = undefined
  }
  const unload = (event: BeforeUnloadEvent) => held() && event.preventDefault()
  onMounted(() => addEventListener('beforeunload', unload))
  onBeforeUnmount(() => removeEventListener('beforeunload', unload))
  return { asking, answer }
}
