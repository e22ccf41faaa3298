import { ChartColumn } from 'lucide-vue-next'
import { definePage } from '@/app/page'

export default definePage({
  name: 'usage',
  path: 'usage',
  component: () => import('./UsagePage.vue'),
  nav: { icon: ChartColumn, order: 50, section: 'work' },
})
