import { createApp, h } from 'vue'

createApp({ render: () => h('p', 'crs-edge') }).mount('#app')
