import { watch } from 'vue'
import { logout, refreshSession } from '@/api'
import { activity } from './activity'
import { session } from './session'

/** Renews the token when a fifth of its time is left, while somebody is there. Tabs share the new one. */
export function keepSession() {
  let lifetime = 0
  let running = false
  session.onChange((one) => {
    if (one) lifetime = Math.max(lifetime, one.expiresAt - Date.now())
    else lifetime = 0
  })
  watch([activity.now, session.current], async ([now, one]) => {
    if (!one || running || activity.idle.value) return
    const left = one.expiresAt - now
    // A minute at least, but of a short session no more than half.
    if (left > Math.max(lifetime / 5, Math.min(60_000, lifetime / 2)) || left < 0) return
    running = true
    try {
      session.begin(await refreshSession())
    } catch {
      // Tried again after a while; at the end of the token the login opens over the page.
      await new Promise((resolve) => setTimeout(resolve, 30_000))
    } finally {
      running = false
    }
  })
}

/** Ends the session here and in all tabs. It is gone locally even if the relay cannot be reached. */
export async function endSession() {
  const token = session.token()
  // First here: the tabs stop asking before the relay refuses what they ask.
  session.end()
  if (token) await logout({ body: {}, headers: { authorization: `Bearer ${token}` }, keepalive: true }).catch(() => undefined)
}
