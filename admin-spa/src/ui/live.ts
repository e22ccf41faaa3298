import { ref } from 'vue'

/** What the one polite live region says: results of actions, for screen readers. */
export const spoken = ref('')

export function announce(text: string) {
  // The same text twice is said twice only if it changes in between.
  spoken.value = ''
  requestAnimationFrame(() => (spoken.value = text))
}
