import { dateFormat, relativeFormat } from './intl'

/** In which zone moments are shown. */
export type Zone = 'browser' | 'operator' | 'utc'

/** `utcOffsetMinutes`: of the operator's zone, as the API gives it. */
function shifted(moment: Date, zone: Zone, utcOffsetMinutes: number): { date: Date; timeZone?: string } {
  if (zone === 'browser') return { date: moment }
  const minutes = zone === 'operator' ? utcOffsetMinutes : 0
  return { date: new Date(moment.getTime() + minutes * 60_000), timeZone: 'UTC' }
}

export function offsetName(minutes: number): string {
  if (minutes === 0) return 'UTC'
  const size = Math.abs(minutes)
  const rest = size % 60
  return `UTC${minutes < 0 ? '−' : '+'}${Math.floor(size / 60)}${rest ? `:${String(rest).padStart(2, '0')}` : ''}`
}

export function zoneName(zone: Zone, utcOffsetMinutes: number, at = new Date()): string {
  if (zone === 'utc') return 'UTC'
  return offsetName(zone === 'operator' ? utcOffsetMinutes : -at.getTimezoneOffset())
}

/** Date and time to the second, in the zone. */
export function exactMoment(moment: Date, language: string, zone: Zone, utcOffsetMinutes = 0): string {
  const { date, timeZone } = shifted(moment, zone, utcOffsetMinutes)
  const text = dateFormat(language, { dateStyle: 'medium', timeStyle: 'medium', hourCycle: 'h23', timeZone }).format(date)
  return `${text} ${zoneName(zone, utcOffsetMinutes, moment)}`
}

const yearOf = (date: Date, timeZone?: string) => (timeZone ? date.getUTCFullYear() : date.getFullYear())
const dayOf = (date: Date, timeZone?: string) => (timeZone ? date.toISOString().slice(0, 10) : date.toDateString())

/** `14:05` today, else `Nov 28, 14:05`, with the year if it is another. */
export function shortMoment(moment: Date, now: Date, language: string, zone: Zone, utcOffsetMinutes = 0): string {
  const { date, timeZone } = shifted(moment, zone, utcOffsetMinutes)
  const today = shifted(now, zone, utcOffsetMinutes).date
  const time: Intl.DateTimeFormatOptions = { hour: '2-digit', minute: '2-digit', hourCycle: 'h23', timeZone }
  if (dayOf(date, timeZone) === dayOf(today, timeZone)) return dateFormat(language, time).format(date)
  const sameYear = yearOf(date, timeZone) === yearOf(today, timeZone)
  return dateFormat(language, { ...time, month: 'short', day: 'numeric', ...(sameYear ? {} : { year: 'numeric' }) }).format(date)
}

const units: [Intl.RelativeTimeFormatUnit, number][] = [
  ['hour', 3_600_000],
  ['minute', 60_000],
  ['second', 1000],
]

/** Relative under a day (`3 min. ago`), else the short moment. */
export function relativeMoment(moment: Date, now: Date, language: string, zone: Zone, utcOffsetMinutes = 0): string {
  const distance = moment.getTime() - now.getTime()
  if (Math.abs(distance) >= 86_400_000) return shortMoment(moment, now, language, zone, utcOffsetMinutes)
  const format = relativeFormat(language, { numeric: 'auto', style: 'narrow' })
  if (Math.abs(distance) < 5_000) return format.format(0, 'second')
  const [unit, size] = units.find(([, size]) => Math.abs(distance) >= size) ?? units[2]!
  return format.format(Math.trunc(distance / size), unit)
}

/** How long, with two units: `2 d 4 h`, `4 h 05 min`, `5 min 03 s`, `12 s`, `350 ms`. */
export function duration(milliseconds: number, language: string): string {
  const zh = language.startsWith('zh')
  const name = zh
    ? { d: '天', h: '小时', m: '分', s: '秒', ms: '毫秒' }
    : { d: ' d', h: ' h', m: ' min', s: ' s', ms: ' ms' }
  const gap = zh ? '' : ' '
  const two = (count: number) => String(count).padStart(2, '0')
  if (milliseconds < 1000) return `${Math.max(0, Math.round(milliseconds))}${name.ms}`
  const seconds = Math.floor(milliseconds / 1000)
  if (seconds < 10) return `${(milliseconds / 1000).toFixed(1)}${name.s}`
  if (seconds < 60) return `${seconds}${name.s}`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${minutes}${name.m}${gap}${two(seconds % 60)}${name.s}`
  const hours = Math.floor(minutes / 60)
  if (hours < 24) return `${hours}${name.h}${gap}${two(minutes % 60)}${name.m}`
  return `${Math.floor(hours / 24)}${name.d}${gap}${hours % 24}${name.h}`
}

/** What is left, in whole seconds: it never says 0 while there is something left. */
export const countdown = (until: number, now: number, language: string): string => {
  const left = Math.max(0, Math.ceil((until - now) / 1000)) * 1000
  const zh = language.startsWith('zh')
  if (left < 60_000) return `${left / 1000}${zh ? '秒' : ' s'}`
  return duration(left, language)
}

/** A label of the API (`2026-01-31:09`, `2026-01-31`, `2026-01`) as people read it. Never a `Date`: it has no zone. */
export function readLabel(label: string, language: string): string {
  const [, year, month, day, hour] = /^(\d{4})-(\d\d)(?:-(\d\d))?(?::(\d\d))?$/.exec(label) ?? []
  if (!year) return label
  if (hour !== undefined) return `${hour}:00`
  const at = new Date(Date.UTC(Number(year), Number(month) - 1, Number(day ?? 1)))
  const parts: Intl.DateTimeFormatOptions = day ? { month: 'short', day: 'numeric' } : { year: 'numeric', month: 'short' }
  return dateFormat(language, { ...parts, timeZone: 'UTC' }).format(at)
}
