import '@/styles/main.css'
import { VueQueryPlugin } from '@tanstack/vue-query'
import { createApp } from 'vue'
import App from './App.vue'
import { i18n, languageTag, loadText } from './i18n'
import { startPolling, queryClient } from './query'
import { keepSession } from './renewal'
import { reloadForUpgrade, router } from './router'
import { session } from './session'
import { loadSite } from './site'

async function start() {
  document.documentElement.lang = languageTag.value
  void loadSite()
  await Promise.all([loadText('common'), session.restore()])
  const app = createApp(App).use(i18n).use(router).use(VueQueryPlugin, { queryClient })
  app.config.errorHandler = (error) => {
    if (!reloadForUpgrade(error)) console.error(error)
  }
  keepSession()
  startPolling()
  // A logout in another tab empties this one, too.
  session.onChange(async (one) => {
    if (one) return
    if (!router.currentRoute.value.meta.bare) await router.push('/login')
    // After the page has gone: it would ask again for what it misses.
    if (!session.token()) queryClient.clear()
  })
  await router.isReady().catch(() => undefined)
  app.mount('#app')
}

void start()
