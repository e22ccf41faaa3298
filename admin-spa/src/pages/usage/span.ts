import { oneOf, optionOf, text, type Param } from '@/lib/urlState'

export const ranges = ['today', '7days', '30days', 'month', 'all'] as const
export type RangeName = (typeof ranges)[number]
export const measures = ['cost', 'tokens', 'requests'] as const
export type Measure = (typeof measures)[number]
export const groupings = ['key', 'account', 'model'] as const

/** A day as the API has it; anything else counts as not sent. */
const day = (): Param<string> => ({ read: (value) => (value && /^\d{4}-\d\d-\d\d$/.test(value) ? value : ''), write: (value) => value || undefined })

/** What the URL says. `from` and `to` take the place of `range`. */
export const params = {
  range: oneOf(ranges, '7days'),
  from: day(),
  to: day(),
  by: optionOf(groupings),
  measure: oneOf(measures, 'cost'),
  rank: oneOf(['keys', 'accounts', 'models'] as const, 'keys'),
  sort: oneOf(['name', 'cost', 'requests', 'errors', 'prompt', 'output', 'cached'] as const, 'cost'),
  order: oneOf(['asc', 'desc'] as const, 'desc'),
  key: text(),
  account: text(),
  model: text(),
}

export interface Asked {
  range: RangeName
  from: string
  to: string
}
export type SpanQuery = { range: RangeName } | { from: string; to?: string }

export const spanQuery = ({ range, from, to }: Asked): SpanQuery => (from ? { from, to: to || undefined } : { range })

/** Days from one to the other, both included. Labels are days without a zone. */
export function daysBetween(from: string, to: string): number {
  const at = (label: string) => Date.UTC(Number(label.slice(0, 4)), Number(label.slice(5, 7)) - 1, Number(label.slice(8, 10)))
  return Math.round((at(to) - at(from)) / 86_400_000) + 1
}

/** Hours are kept for 8 days: a chart of hours is of at most two of the last 7. */
const hoursKept = 7

/**
 * The points of the chart: hours of one or two days that are not long ago, months of all time, else days. `from` and
 * `to` are what the answer of the sums said, so that chart and figures are of the same days; `today` is the operator's.
 */
export function trendQuery(from: string | null | undefined, to: string | null | undefined, today: string) {
  if (!from || !to) return { unit: 'month' as const, count: 36 }
  const short = daysBetween(from, to) <= 2 && daysBetween(from, today) <= hoursKept
  return { unit: short ? ('hour' as const) : ('day' as const), from, to }
}

/** The day it is where the operator is. `now`: milliseconds. */
export const operatorDay = (now: number, utcOffsetMinutes: number) => new Date(now + utcOffsetMinutes * 60_000).toISOString().slice(0, 10)
