import type { Zone } from '@/lib/time'

/** The moment at which a day (`2026-01-31`) begins in a zone, ISO 8601; `later`: so many days after it. */
export function startOf(day: string, zone: Zone, utcOffsetMinutes: number, later = 0): string | undefined {
  const parts = /^(\d{4})-(\d\d)-(\d\d)$/.exec(day)
  if (!parts) return undefined
  const [year, month, date] = parts.slice(1).map(Number) as [number, number, number]
  // The browser's own rules know when its clocks change; the other zones have a fixed offset.
  const at = zone === 'browser' ? new Date(year, month - 1, date + later) : new Date(Date.UTC(year, month - 1, date + later) - (zone === 'operator' ? utcOffsetMinutes : 0) * 60_000)
  return Number.isNaN(at.getTime()) ? undefined : at.toISOString()
}
