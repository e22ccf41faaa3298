import { getSettings } from '@/api'
import { useRead } from './query'

export { addressOf } from './address'

/** What the relay is and how it is set up (`GET /admin/settings`): read once, since nothing of it changes while it runs. */
export const useSettings = () => useRead(() => ['settings'], (signal) => getSettings({ signal }), () => ({ staleTime: 10 * 60_000 }))
