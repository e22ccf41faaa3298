import { watchPostEffect, type ShallowRef } from 'vue'

/**
 * Makes what cannot be read of a field block its form, by the browser's own validation: the form is not submitted,
 * and the field gets the focus. `problem`: empty while the field is fine.
 */
export function useBadInput(box: Readonly<ShallowRef<HTMLInputElement | null>>, problem: () => string) {
  watchPostEffect(() => box.value?.setCustomValidity(problem()))
}
