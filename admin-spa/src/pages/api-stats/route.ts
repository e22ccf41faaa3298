import { definePage } from '@/app/page'

export default definePage({ name: 'api-stats', path: 'api-stats', bare: true, component: () => import('./ApiStatsPage.vue') })
