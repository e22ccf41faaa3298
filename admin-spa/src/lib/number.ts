const compact = new Map<string, Intl.NumberFormat>()

/** 1,234 below ten thousand, then 12.3K, 1.2M. The exact one belongs in a tooltip. */
export function showCount(count: number, language: string): string {
  const short = Math.abs(count) >= 10_000
  const key = `${language} ${short}`
  let format = compact.get(key)
  if (!format) {
    format = new Intl.NumberFormat(language, short ? { notation: 'compact', maximumFractionDigits: 1 } : {})
    compact.set(key, format)
  }
  return format.format(count)
}

export const exactCount = (count: number, language: string) => new Intl.NumberFormat(language).format(count)

/** `share`: 0 to 1. */
export const showPercent = (share: number, language: string, digits = 0) =>
  new Intl.NumberFormat(language, { style: 'percent', maximumFractionDigits: digits }).format(share)
