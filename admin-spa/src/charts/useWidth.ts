import { onBeforeUnmount, onMounted, ref, type Ref } from 'vue'

/** Width of an element in pixels, as it changes. */
export function useWidth(element: Ref<HTMLElement | null>, initial = 640) {
  const width = ref(initial)
  let observer: ResizeObserver | undefined
  onMounted(() => {
    observer = new ResizeObserver(([entry]) => {
      if (entry) width.value = Math.max(120, Math.round(entry.contentRect.width))
    })
    if (element.value) observer.observe(element.value)
  })
  onBeforeUnmount(() => observer?.disconnect())
  return width
}

/** Which labels stand under the axis, so that they do not run into each other. */
export function ticksFor(count: number, width: number, each = 64): number[] {
  const step = Math.max(1, Math.ceil(count / Math.max(1, Math.floor(width / each))))
  return Array.from({ length: count }, (_, index) => index).filter((index) => index % step === 0)
}
