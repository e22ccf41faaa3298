import { getSettings } from '@/api'
import { publicOrigin } from '@/api/origin'
import { useRead } from './query'

/** What the relay is and how it is set up (`GET /admin/settings`): read once, since nothing of it changes while it runs. */
export const useSettings = () => useRead(() => ['settings'], (signal) => getSettings({ signal }), () => ({ staleTime: 10 * 60_000 }))

/** The address that clients are given: the operator's `PUBLIC_ADDRESS`, else where this page found the relay. */
export const addressOf = (settings: { publicAddress?: string | null } | undefined) => settings?.publicAddress || publicOrigin()
