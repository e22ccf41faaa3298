import { Server } from 'lucide-vue-next'
import { definePage } from '@/app/page'

export default definePage({
  name: 'accounts',
  path: 'accounts',
  component: () => import('./AccountsPage.vue'),
  nav: { icon: Server, order: 20, section: 'work' },
  children: [
    { name: 'accounts.new', path: 'accounts/new', component: () => import('./NewAccountPage.vue') },
    { name: 'accounts.one', path: 'accounts/:id', component: () => import('./AccountPage.vue') },
  ],
})
