import { publicOrigin } from '@/api/origin'

const stored = 'crs-public-address'

/** The address that clients are given: the operator's `PUBLIC_ADDRESS`, else where this page found the relay. */
export const addressOf = (settings: { publicAddress?: string | null } | undefined) => settings?.publicAddress || publicOrigin()

/** Keeps `PUBLIC_ADDRESS` for the pages that open without a login and may ask nothing of the admin API. */
export function rememberAddress(address: string | null | undefined) {
  if (address) localStorage.setItem(stored, address)
  else localStorage.removeItem(stored)
}

/** As `addressOf`, for pages without a login: what this browser was told when somebody was logged in. */
export const knownAddress = () => localStorage.getItem(stored) || publicOrigin()
