import { Settings } from 'lucide-vue-next'
import { definePage } from '@/app/page'

export default definePage({
  name: 'settings',
  path: 'settings',
  component: () => import('./SettingsPage.vue'),
  nav: { icon: Settings, order: 70, section: 'system' },
})
