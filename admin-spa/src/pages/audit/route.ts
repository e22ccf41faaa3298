import { ScrollText } from 'lucide-vue-next'
import { definePage } from '@/app/page'

export default definePage({
  name: 'audit',
  path: 'audit',
  component: () => import('./AuditPage.vue'),
  nav: { icon: ScrollText, order: 80, section: 'system' },
})
