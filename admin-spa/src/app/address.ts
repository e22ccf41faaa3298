import { ref } from 'vue'
import { publicOrigin } from '@/api/origin'

const stored = 'crs-public-address'
const known = ref(localStorage.getItem(stored))

/** The address that clients are given: the operator's `PUBLIC_ADDRESS`, else where this page found the relay. */
export const addressOf = (settings: { publicAddress?: string | null } | undefined) => settings?.publicAddress || publicOrigin()

/** Keeps `PUBLIC_ADDRESS`, as the relay tells it to anybody, for the next time that a page opens. */
export function rememberAddress(address: string | null | undefined) {
  known.value = address || null
  try {
    if (address) localStorage.setItem(stored, address)
    else localStorage.removeItem(stored)
  } catch {
    // Storage may be full or off.
  }
}

/** As `addressOf`, for pages without a login. It changes once the relay has answered. */
export const knownAddress = () => known.value || publicOrigin()
