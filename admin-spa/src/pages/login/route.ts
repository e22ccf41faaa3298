import { definePage } from '@/app/page'

export default definePage({ name: 'login', path: 'login', bare: true, component: () => import('./LoginPage.vue') })
