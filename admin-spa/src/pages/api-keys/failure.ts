import { ApiError } from '@/api'
import { textOr } from '@/app/i18n'
import { toast } from '@/ui'

/** Says that an action failed: by its code in the reader's language, else in the server's words. */
export function sayFailure(error: unknown) {
  const { message } = error as Error
  const api = error instanceof ApiError ? error : undefined
  toast(textOr(`common.errors.${api?.code}`, message), { tone: 'bad', requestId: api?.requestId })
}

/** The same failure, with the field as it is called within `parent`: `key.name` is `name`. */
export function ownField(error: unknown, parent: string): unknown {
  if (!(error instanceof ApiError) || !error.field?.startsWith(`${parent}.`)) return error
  const { status, code, message, requestId, field, retryAfter } = error
  return new ApiError(status, code, message, requestId, field.slice(parent.length + 1), retryAfter)
}
