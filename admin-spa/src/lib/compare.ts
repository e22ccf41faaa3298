import { numberFormat } from './intl'

/** How a figure stands to the one of the time before: 0.5 is half as much again. `undefined`: there was nothing. */
export function changeOf(now: number, before: number | null | undefined): number | undefined {
  if (!before) return undefined
  return (now - before) / before
}

/** `+12 %`, `−3 %`, `0 %`; from ten times on as a factor: `×23`. */
export function showChange(change: number, language: string): string {
  if (change >= 9) return `×${numberFormat(language, { maximumFractionDigits: 0 }).format(change + 1)}`
  return numberFormat(language, { style: 'percent', maximumFractionDigits: 0, signDisplay: 'exceptZero' }).format(change)
}

/** `part` of `whole`, 0 to 1; 0 of nothing. */
export const shareOf = (part: number, whole: number) => (whole > 0 ? part / whole : 0)
