import { createRouter, createWebHistory, type RouteLocationNormalized, type RouteRecordRaw } from 'vue-router'
import { ahead, pageRecords, pages } from './pages'
import { session } from './session'

const first = (value: unknown) => (Array.isArray(value) ? value[0] : value) as string | undefined
const moved: RouteRecordRaw[] = [
  { path: '/admin-login', redirect: '/login' },
  { path: '/api-keys/:id/usage-records', redirect: (to) => ({ path: '/requests', query: { keyId: first(to.params.id) } }) },
  { path: '/accounts/:id/usage-records', redirect: (to) => ({ path: '/requests', query: { accountId: first(to.params.id) } }) },
]

/** The page that opens when none is asked for. */
export const startPath = () => `/${(pages.find((page) => page.name === 'dashboard') ?? pages.find((page) => page.nav))?.path ?? 'login'}`

export const router = createRouter({
  history: createWebHistory(import.meta.env.BASE_URL),
  routes: [
    { path: '/', redirect: startPath },
    ...moved,
    ...pageRecords(),
    { path: '/:rest(.*)*', name: 'nowhere', component: () => import('./NotFound.vue') },
  ],
  scrollBehavior: (to, from, saved) => saved ?? (to.path === from.path ? undefined : { top: 0 }),
})

/** Whether `path` is a page of ours: only there a login returns to. */
export const ownPath = (path: unknown): string | undefined =>
  typeof path === 'string' && /^\/(?![/\\])/.test(path) && router.resolve(path).name !== 'login' ? path : undefined

router.beforeEach((to) => {
  if (to.meta.bare || session.token()) return true
  return { path: '/login', query: to.fullPath === startPath() || to.fullPath === '/' ? {} : { to: to.fullPath } }
})

const missing = /dynamically imported module|Importing a module script failed|module script|Failed to fetch|Unable to preload/i
const once = 'crs-reloaded'

/** A chunk is gone after an upgrade: the page is loaded anew, once. Gives whether that happens. */
export function reloadForUpgrade(error: unknown, to?: RouteLocationNormalized): boolean {
  if (!missing.test(String((error as Error | undefined)?.message ?? error))) return false
  const last = Number(sessionStorage.getItem(once) ?? 0)
  if (Date.now() - last < 60_000) return false
  sessionStorage.setItem(once, String(Date.now()))
  if (to) location.assign(router.resolve(to.fullPath).href)
  else location.reload()
  return true
}

router.onError((error, to) => void reloadForUpgrade(error, to))
addEventListener('vite:preloadError', (event) => {
  if (ahead.pages) return
  if (reloadForUpgrade((event as Event & { payload?: unknown }).payload)) event.preventDefault()
})
