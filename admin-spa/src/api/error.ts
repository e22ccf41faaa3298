/** An answer of the API that is an error, or no answer at all (`code` is `unreachable`, `status` 0). */
export class ApiError extends Error {
  override readonly name = 'ApiError'
  constructor(
    readonly status: number,
    /** Stable; `errors.<code>` in the texts if it is known. */
    readonly code: string,
    message: string,
    readonly requestId?: string,
    /** Dotted path of the request's field that is at fault. */
    readonly field?: string,
    /** Seconds. */
    readonly retryAfter?: number,
  ) {
    super(message)
  }
}

/** Parses `retry-after`: seconds or an HTTP date. */
export function retryAfter(value: string | null, now = Date.now()): number | undefined {
  if (!value) return undefined
  const seconds = /^\d+$/.test(value) ? Number(value) : Math.ceil((Date.parse(value) - now) / 1000)
  return Number.isFinite(seconds) ? Math.max(0, seconds) : undefined
}

/** `body`: what the answer held, parsed if it was JSON. */
export function errorOf(body: unknown, response: Response | undefined): ApiError {
  if (body instanceof ApiError) return body
  if (!response) {
    const message = body instanceof Error ? body.message : String(body)
    return new ApiError(0, body instanceof DOMException && body.name === 'AbortError' ? 'aborted' : 'unreachable', message)
  }
  const id = response.headers.get('x-request-id') ?? undefined
  const wait = retryAfter(response.headers.get('retry-after'))
  const fields = (typeof body === 'object' && body !== null ? body : {}) as Record<string, unknown>
  // The Worker's own refusal (not set up yet) has its code one level down.
  const inner = (typeof fields.error === 'object' && fields.error !== null ? fields.error : {}) as Record<string, unknown>
  const text = (...values: unknown[]) => values.find((value): value is string => typeof value === 'string' && value !== '')
  const code = text(fields.error, inner.code) ?? (response.ok ? 'bad_answer' : `http_${response.status}`)
  const message = text(fields.message, inner.message) ?? (body instanceof Error ? body.message : response.statusText || String(response.status))
  return new ApiError(response.status, code, message, text(fields.requestId) ?? id, text(fields.field), wait)
}
