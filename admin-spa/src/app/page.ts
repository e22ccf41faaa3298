import type { Component } from 'vue'

export interface Nav {
  /** A lucide icon. */
  icon: Component
  /** Position in the sidebar; smaller is higher. */
  order: number
  section: 'work' | 'system'
}

export interface PageRoute {
  /** Also the name of the page's texts, and of its entry `nav.<name>` in common.json. */
  name: string
  /** Below /admin-next/, without a slash in front; more than one: the first is canonical. */
  path: string
  component: () => Promise<{ default: Component }>
  /** Further locale files that the page needs. */
  texts?: string[]
  nav?: Nav
  /** Shown without a login and without the shell. */
  bare?: boolean
  /** Pages below this one that are shown by their own component. */
  children?: Omit<PageRoute, 'nav' | 'children'>[]
}

/** What `route.ts` of a page exports as its default. */
export const definePage = (page: PageRoute): PageRoute => page
