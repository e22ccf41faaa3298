import { apiFetch } from './client'
import { errorOf } from './error'
import { apiOrigin } from './origin'

/** Splits server-sent events out of text that arrives in pieces. */
export function eventReader(): (piece: string) => unknown[] {
  let rest = ''
  return (piece) => {
    rest += piece
    const blocks = rest.split(/\r?\n\r?\n/)
    rest = blocks.pop() ?? ''
    return blocks.flatMap((block) => {
      const data = block
        .split(/\r?\n/)
        .filter((line) => line.startsWith('data:'))
        .map((line) => line.slice(5).trimStart())
        .join('\n')
      return data ? [JSON.parse(data) as unknown] : []
    })
  }
}

/** POSTs and yields the JSON of each server-sent event. Throws ApiError. */
export async function* events<T>(path: string, body: unknown, signal?: AbortSignal): AsyncGenerator<T> {
  let response: Response | undefined
  try {
    response = await apiFetch(`${apiOrigin || location.origin}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      signal,
      credentials: 'omit',
    })
    if (!response.ok || !response.body) throw await response.json().catch(() => undefined)
  } catch (error) {
    throw errorOf(error, response)
  }
  const read = eventReader()
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
  try {
    for (;;) {
      const { done, value } = await reader.read()
      for (const event of read(done ? '\n\n' : value)) yield event as T
      if (done) return
    }
  } finally {
    void reader.cancel().catch(() => undefined)
  }
}
