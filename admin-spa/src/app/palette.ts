import { onScopeDispose, ref, shallowReactive, type Component } from 'vue'
import type { RouteLocationRaw } from 'vue-router'

export interface PaletteItem {
  id: string
  label: string
  /** Small text beside it. */
  hint?: string
  icon?: Component
  to?: RouteLocationRaw
  run?: () => void
}

export interface PaletteProvider {
  id: string
  /** Heading of its items. */
  title: () => string
  /** What fits the text. An asynchronous one is asked 150 ms after the last key, and not for an empty text. */
  find: (text: string, signal: AbortSignal) => PaletteItem[] | Promise<PaletteItem[]>
  /** Position; smaller is higher. */
  order: number
}

export const providers = shallowReactive(new Map<string, PaletteProvider>())
export const paletteOpen = ref(false)

/** For the whole console: called in a page's `palette.ts`, which is loaded with the palette. */
export function providePalette(provider: PaletteProvider) {
  providers.set(provider.id, provider)
}

/** While a component lives: actions of the page that is open. */
export function usePalette(provider: PaletteProvider) {
  providers.set(provider.id, provider)
  onScopeDispose(() => providers.delete(provider.id))
}

const found = import.meta.glob<unknown>('@/pages/*/palette.ts')
let loading: Promise<unknown> | undefined
export const loadProviders = () => (loading ??= Promise.all(Object.values(found).map((load) => load())))
