import type { UsagePoint } from '@/api'

export interface TwoDays {
  /** `00:00` to `23:00`. */
  labels: string[]
  /** By hour; `null`: the hour has not come yet. */
  today: (number | null)[]
  before: (number | null)[]
}

const hours = Array.from({ length: 24 }, (_, hour) => String(hour).padStart(2, '0'))

/**
 * The last 48 hours as today and the day before, hour by hour. Labels are of the operator's zone (`2026-01-31:09`) and
 * are only taken apart: which day is today the last point says.
 */
export function twoDays(points: readonly UsagePoint[], value: (point: UsagePoint) => number): TwoDays {
  const byLabel = new Map(points.map((one) => [one.label, value(one)]))
  const today = points.at(-1)?.label.split(':')[0] ?? ''
  const before = points.map((one) => one.label.split(':')[0]!).filter((day) => day !== today).at(-1) ?? ''
  const of = (day: string) => hours.map((hour) => byLabel.get(`${day}:${hour}`) ?? null)
  return { labels: hours.map((hour) => `${hour}:00`), today: of(today), before: of(before) }
}
