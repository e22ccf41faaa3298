import type { Totals, UsageGroup, UsagePoint, UsageTrend } from '@/api'
import type { Series } from '@/charts/types'
import { keyLabel } from '@/lib/keyLabel'
import { tokensOf } from '@/lib/totals'
import type { Measure } from './span'

export const measured = (totals: Totals, measure: Measure): number => (measure === 'tokens' ? tokensOf(totals) : totals[measure])

/** Millionths of a dollar are exact; sums of them as floats are not. */
const tidy = (value: number, measure: Measure) => Math.max(0, measure === 'cost' ? Math.round(value * 1e6) / 1e6 : value)

/** Months before the first call of all time are left out, but never all. */
export function trimmed(trend: UsageTrend): UsageTrend {
  if (trend.unit !== 'month') return trend
  const first = trend.points.findIndex((one) => one.totals.requests > 0)
  const from = first < 0 ? Math.max(0, trend.points.length - 1) : first
  const cut = (group: UsageGroup): UsageGroup => ({ ...group, requests: group.requests.slice(from), errors: group.errors.slice(from), tokens: group.tokens.slice(from), cost: group.cost.slice(from) })
  return { ...trend, points: trend.points.slice(from), groups: trend.groups?.map(cut) }
}

/** The chart's series: one of everything, or one a group and what is left of everything as `others`. */
export function seriesOf(trend: UsageTrend, measure: Measure, names: { all: string; others: string; gone: string; tests: string }): Series[] {
  const all = trend.points.map((one) => measured(one.totals, measure))
  if (!trend.groups) return [{ key: 'all', name: names.all, values: all }]
  const groups = trend.groups.map((one) => ({ key: one.id, name: keyLabel(one, names), values: one[measure] as readonly number[] }))
  const others = all.map((value, index) => tidy(groups.reduce((rest, group) => rest - (group.values[index] ?? 0), value), measure))
  return others.some((value) => value > 0) ? [...groups, { key: '(others)', name: names.others, values: others }] : groups
}

/** The sum of a chart's points: of one key, account or model there is no other sum of a time. */
export function sumOf(points: readonly UsagePoint[]): Totals {
  const sum = { requests: 0, errors: 0, partial: 0, estimated: 0, input: 0, output: 0, cacheWrite5m: 0, cacheWrite1h: 0, cacheRead: 0, cost: 0 }
  for (const { totals } of points) for (const field of Object.keys(sum) as (keyof typeof sum)[]) sum[field] += totals[field]
  return { ...sum, cost: tidy(sum.cost, 'cost') } as Totals
}
