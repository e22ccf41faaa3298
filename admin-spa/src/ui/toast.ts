import { shallowReactive } from 'vue'
import { announce } from './live'

export interface Toast {
  id: number
  text: string
  tone: 'ok' | 'bad' | 'info'
  undo?: () => void
  requestId?: string
}

export const toasts = shallowReactive<Toast[]>([])
let next = 1

export function dismiss(id: number) {
  const at = toasts.findIndex((one) => one.id === id)
  if (at >= 0) toasts.splice(at, 1)
}

/** Says the result of an action. `undo` gives it a button; a fault stays until it is dismissed. */
export function toast(text: string, more: Partial<Omit<Toast, 'id' | 'text'>> = {}) {
  const one: Toast = { id: next++, text, tone: 'ok', ...more }
  toasts.push(one)
  if (toasts.length > 4) toasts.shift()
  announce(text)
  if (one.tone !== 'bad') setTimeout(() => dismiss(one.id), one.undo ? 10_000 : 5_000)
}
