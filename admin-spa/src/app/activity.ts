import { computed, ref } from 'vue'

/** Without input for this long a tab asks nothing any more, in milliseconds. */
export const idleAfter = 30 * 60_000

const lastInput = ref(Date.now())
const visible = ref(!document.hidden)
const now = ref(Date.now())

for (const name of ['pointerdown', 'keydown', 'wheel', 'touchstart'] as const) {
  addEventListener(name, () => (lastInput.value = Date.now()), { passive: true, capture: true })
}
document.addEventListener('visibilitychange', () => {
  visible.value = !document.hidden
  now.value = Date.now()
})

/** One clock for all that counts in seconds; it stands still in hidden tabs. */
setInterval(() => {
  if (!document.hidden) now.value = Date.now()
}, 1000)

export const activity = {
  /** Milliseconds since 1970, to the second. */
  now: computed(() => now.value),
  visible: computed(() => visible.value),
  /** Milliseconds since the last input. */
  rested: () => Date.now() - lastInput.value,
  idle: computed(() => now.value - lastInput.value > idleAfter),
}
