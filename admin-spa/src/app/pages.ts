import type { RouteRecordRaw } from 'vue-router'
import { loadText } from './i18n'
import type { PageRoute } from './page'

const found = import.meta.glob<PageRoute>('@/pages/*/route.ts', { eager: true, import: 'default' })
export const pages: PageRoute[] = Object.values(found)

/** How many pages are loaded right now that nobody asked for yet: a failure of that is none. */
export const ahead = { pages: 0 }

/** What a page needs, each part on its way at once: the shell would otherwise be asked for after the page. */
const load = (page: Omit<PageRoute, 'children'>) =>
  Promise.all([page.component(), loadText(page.name.split('.')[0]!, ...(page.texts ?? [])), page.bare ? undefined : import('./Shell.vue')])

function record(page: Omit<PageRoute, 'children'>): RouteRecordRaw {
  return {
    name: page.name,
    path: `/${page.path}`,
    component: async () => (await load(page))[0].default,
    meta: { bare: page.bare ?? false, page: page.name },
  }
}

export const pageRecords = (): RouteRecordRaw[] => pages.flatMap((page) => [record(page), ...(page.children ?? []).map(record)])
export const navPages = () => pages.filter((page) => page.nav).sort((a, b) => a.nav!.order - b.nav!.order)
