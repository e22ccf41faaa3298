import { reactive, readonly } from 'vue'
import { getOemSettings } from '@/api'
import { rememberAddress } from './address'

interface Site {
  name: string
  icon: string
  showAdminButton: boolean
}

const store = 'crs-site'
const state = reactive<Site>({ name: 'crs-edge', icon: '', showAdminButton: true })

function apply(site: Partial<Site>) {
  if (typeof site.name === 'string' && site.name) state.name = site.name
  if (typeof site.icon === 'string' && /^(data:image\/|$)/.test(site.icon)) state.icon = site.icon
  if (typeof site.showAdminButton === 'boolean') state.showAdminButton = site.showAdminButton
  const link = document.querySelector<HTMLLinkElement>('link[rel=icon]')
  if (link && state.icon) link.href = state.icon
}

/** The site's name and icon: at once as they were last time, then as the relay says. */
export const site = readonly(state)

export async function loadSite() {
  try {
    apply(JSON.parse(localStorage.getItem(store) ?? '{}'))
  } catch {
    // A broken entry is as good as none.
  }
  const read = await getOemSettings().catch(() => undefined)
  if (!read) return
  showSite(read)
  // An older relay says nothing of it.
  if (read.publicAddress !== undefined) rememberAddress(read.publicAddress)
}

/** Shows the site as the relay has it now, and the next time from the start. */
export function showSite(read: { siteName: string; siteIconData: string; showAdminButton: boolean }) {
  apply({ name: read.siteName, icon: read.siteIconData, showAdminButton: read.showAdminButton })
  try {
    localStorage.setItem(store, JSON.stringify(state))
  } catch {
    // Storage may be full or off.
  }
}
