import type { Component } from 'vue'
import type { RouteRecordRaw } from 'vue-router'
import { loadText } from './i18n'

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

/**
 * What `route.ts` of a page exports as its default. A declaration, because it is hoisted: the routes, which call it,
 * are imported here and run first.
 */
export function definePage(page: PageRoute): PageRoute {
  return page
}

const found = import.meta.glob<PageRoute>('@/pages/*/route.ts', { eager: true, import: 'default' })
export const pages: PageRoute[] = Object.values(found)

function record(page: Omit<PageRoute, 'children'>): RouteRecordRaw {
  return {
    name: page.name,
    path: `/${page.path}`,
    // The texts come beside the code, not after it.
    component: async () => {
      const [module] = await Promise.all([page.component(), loadText(page.name.split('.')[0]!, ...(page.texts ?? []))])
      return module.default
    },
    meta: { bare: page.bare ?? false, page: page.name },
  }
}

export const pageRecords = (): RouteRecordRaw[] => pages.flatMap((page) => [record(page), ...(page.children ?? []).map(record)])
export const navPages = () => pages.filter((page) => page.nav).sort((a, b) => a.nav!.order - b.nav!.order)
