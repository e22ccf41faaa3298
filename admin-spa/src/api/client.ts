import { session } from '@/app/session'
import type { CreateClientConfig } from './generated/client.gen'
import { apiOrigin } from './origin'

/** These answer 401 for a wrong password, not for an ended session. */
const ownUnauthorized = /\/web\/auth\/(login|login-link|change-password|logout)$|\/apiStats\//

/** These are asked without a session. */
const open = /\/(apiStats\/.*|health|admin\/oem-settings|web\/auth\/(login|login-link|reset-password|logout))$/

/** Aborts the reads under way when the session ends: they would come back refused. */
let reads = new AbortController()
session.onChange((one) => {
  if (one) return
  reads.abort()
  reads = new AbortController()
})

/**
 * Sends with the session's token. A 401 opens the login over the page; after it, the same request goes out once
 * more, so that nothing that was typed is lost.
 */
export async function apiFetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response> {
  const request = new Request(input, init)
  const send = (token: string | undefined) => {
    const copy = request.clone()
    if (token && !copy.url.includes('/apiStats/')) copy.headers.set('authorization', `Bearer ${token}`)
    return fetch(copy, request.method === 'GET' ? { signal: AbortSignal.any([request.signal, reads.signal]) } : {})
  }
  const token = session.token()
  // A page that is still there after a logout has nothing to ask.
  if (!token && !open.test(new URL(request.url).pathname)) throw new DOMException('The session has ended.', 'AbortError')
  const response = await send(token)
  if (response.status !== 401 || !token || ownUnauthorized.test(new URL(request.url).pathname)) return response
  // Read to its end, for an answer that is left unread holds its connection while the login lies over the page.
  const refusal = new Response(await response.blob(), response)
  const fresh = session.token() !== token ? session.token() : await session.loginAgain()
  return fresh ? send(fresh) : refusal
}

export const createClientConfig: CreateClientConfig = (config) => ({
  ...config,
  baseUrl: apiOrigin || location.origin,
  fetch: apiFetch,
  credentials: 'omit',
  cache: 'no-store',
})
