import type { SignInView } from '@/api'

export type Begun = Pick<SignInView, 'sessionId' | 'authUrl' | 'expiresAt'>

/** A sign-in that was begun in this tab, so that a reload does not lose it. It holds no secret: only the relay can end it. */
export function begun(of: string, store: Pick<Storage, 'getItem' | 'setItem' | 'removeItem'> = sessionStorage) {
  const key = `crs.sign-in.${of}`
  return {
    read(now: number): Begun | undefined {
      try {
        const kept = JSON.parse(store.getItem(key) ?? 'null') as Begun | null
        if (!kept || !(Date.parse(kept.expiresAt) > now) || !/^https?:\/\//.test(kept.authUrl)) return undefined
        return kept
      } catch {
        return undefined
      }
    },
    write(made: Begun | undefined) {
      if (made) store.setItem(key, JSON.stringify({ sessionId: made.sessionId, authUrl: made.authUrl, expiresAt: made.expiresAt }))
      else store.removeItem(key)
    },
  }
}
