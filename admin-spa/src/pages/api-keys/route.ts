import { KeyRound } from 'lucide-vue-next'
import { definePage } from '@/app/page'

export default definePage({
  name: 'api-keys',
  path: 'api-keys',
  component: () => import('./KeysPage.vue'),
  nav: { icon: KeyRound, order: 30, section: 'work' },
  texts: ['connect', 'handover'],
  children: [
    { name: 'api-keys.new', path: 'api-keys/new', component: () => import('./NewKeyPage.vue'), texts: ['connect', 'handover'] },
    { name: 'api-keys.one', path: 'api-keys/:id', component: () => import('./KeyPage.vue'), texts: ['connect', 'handover'] },
  ],
})
