import { definePage } from '@/app/pages'

export default definePage({ name: 'login', path: 'login', bare: true, component: () => import('./LoginPage.vue') })
