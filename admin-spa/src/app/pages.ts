import type { RouteRecordRaw } from 'vue-router'
import { loadText } from './i18n'
import type { PageRoute } from './page'

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
