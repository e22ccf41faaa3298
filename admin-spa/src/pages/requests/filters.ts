import type { ListRefusalsData, ListRequestsData } from '@/api'
import { flag, oneOf, optionOf, text, whole, type Param } from '@/lib/urlState'

export const platforms = ['claude', 'openai', 'gemini', 'antigravity'] as const
export const sizes = ['50', '100'] as const

/** Dollars with a fraction; 0 is none. */
export const amount = (): Param<number> => ({
  read: (value) => (value !== undefined && /^\d{1,9}(\.\d{1,6})?$/.test(value) ? Number(value) : 0),
  write: (value) => (value > 0 ? String(value) : undefined),
})

/** The filter as the URL has it, with the API's names. */
export const params = {
  tab: oneOf(['calls', 'refused'] as const, 'calls'),
  keyId: text(),
  accountId: text(),
  model: text(),
  platform: optionOf(platforms),
  errorsOnly: flag(),
  error: text(),
  status: whole(0, 100, 599),
  slowerThan: whole(0),
  dearerThan: amount(),
  session: text(),
  from: text(),
  to: text(),
  /** Of refused calls. */
  code: text(),
  page: whole(1),
  pageSize: whole(50, 1, 100),
  cursor: text(),
  live: flag(),
}
type Read<P> = { [K in keyof P]: P[K] extends Param<infer T> ? T : never }
export type State = Read<typeof params>

/** What narrows the list of calls, in the order of the chips. */
export const narrowing = ['keyId', 'accountId', 'model', 'error', 'status', 'slowerThan', 'dearerThan', 'session', 'from', 'to'] as const
export type Narrowing = (typeof narrowing)[number]

export type CallQuery = NonNullable<ListRequestsData['query']>
export type RefusalQuery = NonNullable<ListRefusalsData['query']>

/** Without what is not set; the CSV takes the same. */
export function filterOf(state: State) {
  return {
    keyId: state.keyId || undefined,
    accountId: state.accountId || undefined,
    model: state.model || undefined,
    platform: state.platform,
    errorsOnly: state.errorsOnly || undefined,
    error: state.error || undefined,
    status: state.status || undefined,
    slowerThan: state.slowerThan || undefined,
    dearerThan: state.dearerThan || undefined,
    session: state.session || undefined,
    from: state.from || undefined,
    to: state.to || undefined,
  }
}
export const callQuery = (state: State): CallQuery => ({ ...filterOf(state), pageSize: state.pageSize, cursor: state.cursor || undefined })
export const refusalQuery = (state: State): RefusalQuery => ({ keyId: state.keyId || undefined, code: state.code || undefined, page: state.page, pageSize: state.pageSize })
export const isNarrowed = (state: State) => Object.values(filterOf(state)).some((value) => value !== undefined)

/** A request id somewhere in what was pasted: a line of a log, an error message. */
export const requestIdIn = (pasted: string): string | undefined => /\breq_[0-9a-f]{32}\b/.exec(pasted.toLowerCase())?.[0]

/** Hours back from now, as the URL keeps it: the moment does not move with the clock. */
export const since = (hours: number, now: number) => new Date(Math.floor(now / 60_000) * 60_000 - hours * 3_600_000).toISOString()

/** Codes that calls of the log end with; a provider may have further ones. */
export const callCodes = ['passed_on', 'provider_failed', 'provider_overloaded', 'provider_timeout', 'provider_unreachable', 'provider_broke', 'stream_broken', 'stream_idle', 'accounts_limited', 'accounts_busy', 'no_account', 'client_left', 'ended_by_operator', 'call_lost', 'relay_unavailable', 'internal'] as const
/** Codes that calls are refused with before a provider is called. */
export const refusalCodes = ['cost_limited', 'rate_limited', 'concurrency_full', 'key_disabled', 'key_expired', 'unknown_key', 'missing_key', 'ambiguous_key', 'service_not_permitted', 'client_not_allowed', 'model_restricted', 'invalid_body', 'body_too_large', 'body_too_slow', 'body_memory_full', 'no_account', 'accounts_limited', 'accounts_busy', 'relay_unavailable', 'internal'] as const
