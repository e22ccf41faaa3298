import { shallowReactive } from 'vue'
import { announce } from './live'

export interface Toast {
  id: number
  text: string
  tone: 'ok' | 'bad' | 'info'
  undo?: () => void
  requestId?: string
  /** When it was said. */
  at: number
}

export const toasts = shallowReactive<Toast[]>([])
let next = 1

export function dismiss(id: number) {
  const at = toasts.findIndex((one) => one.id === id)
  if (at >= 0) toasts.splice(at, 1)
}

/** Says the result of an action. `undo` gives it a button; a fault stays until it is dismissed. */
export function toast(text: string, more: Partial<Omit<Toast, 'id' | 'text' | 'at'>> = {}) {
  const one: Toast = { id: next++, text, tone: 'ok', at: Date.now(), ...more }
  // What a double click did twice is said once.
  if (toasts.some((other) => other.text === text && other.tone === one.tone && one.at - other.at < 1_000)) return
  toasts.push(one)
  if (toasts.length > 4) toasts.shift()
  announce(text)
  if (one.tone !== 'bad') setTimeout(() => dismiss(one.id), one.undo ? 10_000 : 5_000)
}
