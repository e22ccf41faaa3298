import { BookOpen } from 'lucide-vue-next'
import { definePage } from '@/app/page'

export default definePage({
  name: 'tutorial',
  path: 'tutorial',
  component: () => import('./TutorialPage.vue'),
  nav: { icon: BookOpen, order: 90, section: 'system' },
  texts: ['connect'],
  bare: true,
})
