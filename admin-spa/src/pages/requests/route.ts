import { ListTree } from 'lucide-vue-next'
import { definePage } from '@/app/page'

// One component for both: the list stays while calls of it are opened one after the other.
const component = () => import('./RequestsPage.vue')

export default definePage({
  name: 'requests',
  path: 'requests',
  component,
  nav: { icon: ListTree, order: 40, section: 'work' },
  children: [{ name: 'requests.one', path: 'requests/:id', component }],
})
