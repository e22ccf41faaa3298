// Import from pages with `defineAsyncComponent(() => import('@/charts').then((m) => m.XyChart))`, or lazily by route.
export { default as Sparkline } from './Sparkline.vue'
export { default as Timeline } from './Timeline.vue'
export { default as XyChart } from './XyChart.vue'
export type { Lane, Series, Span } from './types'
