import { nextTick, onBeforeUnmount, shallowRef, type VNodeChild } from 'vue'

/** Milliseconds before the pointer shows a tooltip, none right after another, and before it hides. */
const wait = 250
const linger = 120
const again = 300

interface Shown {
  of: HTMLElement
  content: () => VNodeChild
}

/** Id of the one tooltip, for `aria-describedby`. */
export const tooltipId = 'crs-tooltip'
export const shown = shallowRef<Shown>()
let timer: ReturnType<typeof setTimeout> | undefined
let hiddenAt = 0
/** A press focuses what it presses: that focus shows nothing. */
let pressed = false

function show(of: HTMLElement, content: () => VNodeChild) {
  clearTimeout(timer)
  if (!of.isConnected || shown.value?.of === of) return
  hide()
  of.setAttribute('aria-describedby', tooltipId)
  shown.value = { of, content }
}

/** Hides the tooltip, or only that of one element. */
export function hide(of?: HTMLElement) {
  clearTimeout(timer)
  if (!shown.value || (of && shown.value.of !== of)) return
  shown.value.of.removeAttribute('aria-describedby')
  shown.value = undefined
  hiddenAt = Date.now()
}

export const keep = () => clearTimeout(timer)
export function leave() {
  clearTimeout(timer)
  timer = setTimeout(() => hide(), linger)
}

/** What a component's trigger listens to. `content` gives nothing if there is no tooltip now. */
export function triggerOf(content: () => (() => VNodeChild) | undefined) {
  const open = (of: HTMLElement) => {
    const shows = content()
    if (shows) show(of, shows)
  }
  const down = (event: PointerEvent) => {
    pressed = true
    addEventListener('pointerup', () => setTimeout(() => (pressed = false)), { once: true })
    const of = event.currentTarget as HTMLElement
    // A tap shows what a pointer that hovers shows; on a link or button it is for that.
    const tap = event.pointerType === 'touch' && shown.value?.of !== of && !of.closest('a, button')
    hide()
    if (tap) open(of)
  }
  let listens: HTMLElement | undefined
  onBeforeUnmount(() => listens && hide(listens))
  /** The rest is listened to from the first visit on: of the hundreds of triggers in a list few see one. */
  function visited(of: HTMLElement) {
    if (listens === of) return
    listens = of
    // A finger leaves with each tap.
    of.addEventListener('pointerleave', (event) => event.pointerType !== 'touch' && leave())
    of.addEventListener('pointerdown', down)
    of.addEventListener('blur', () => hide(of))
  }
  return {
    onPointerenter(event: PointerEvent) {
      const of = event.currentTarget as HTMLElement
      visited(of)
      if (event.pointerType === 'touch') return
      clearTimeout(timer)
      timer = setTimeout(() => open(of), shown.value || Date.now() - hiddenAt < again ? 0 : wait)
    },
    onFocus(event: FocusEvent) {
      const of = event.currentTarget as HTMLElement
      visited(of)
      // A name finds out by the same event whether it is cut.
      if (!pressed) void nextTick(() => open(of))
    },
  }
}
