import { LayoutDashboard } from 'lucide-vue-next'
import { definePage } from '@/app/page'

export default definePage({
  name: 'dashboard',
  path: 'dashboard',
  component: () => import('./DashboardPage.vue'),
  nav: { icon: LayoutDashboard, order: 10, section: 'work' },
})
