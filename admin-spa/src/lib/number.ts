import { numberFormat } from './intl'

/** 1,234 below ten thousand, then 12.3K, 1.2M. The exact one belongs in a tooltip. */
export const showCount = (count: number, language: string): string =>
  Math.abs(count) >= 10_000 ? numberFormat(language, { notation: 'compact', maximumFractionDigits: 1 }).format(count) : exactCount(count, language)

export const exactCount = (count: number, language: string) => numberFormat(language, {}).format(count)

/** `share`: 0 to 1. */
export const showPercent = (share: number, language: string, digits = 0) =>
  numberFormat(language, { style: 'percent', maximumFractionDigits: digits }).format(share)
