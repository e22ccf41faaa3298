import type { Usd } from '@/api/generated/types.gen'
import { numberFormat } from './intl'

/** All amounts of the API are US dollars, exact to the millionth (`Usd`). Prices are dollars per million tokens. */
export type { Usd }
export type UsdPerMTok = number & { readonly unit: 'USD/MTok' }

export const usd = (dollars: number) => dollars as Usd
export const usdPerMTok = (dollars: number) => dollars as UsdPerMTok

/** Adds in millionths, so that 0.1 + 0.2 is 0.3. */
export function addUsd(...amounts: Usd[]): Usd {
  return usd(amounts.reduce((sum, one) => sum + Math.round(one * 1e6), 0) / 1e6)
}

const dollars = (language: string, least: number, most: number) =>
  numberFormat(language, { style: 'currency', currency: 'USD', currencyDisplay: 'narrowSymbol', minimumFractionDigits: least, maximumFractionDigits: most })

/** 2 decimals from $1, 4 below, `<$0.0001`, and `$0` only for nothing. */
export function showUsd(amount: Usd, language: string): string {
  const size = Math.abs(amount)
  if (size === 0) return dollars(language, 0, 0).format(0)
  if (size < 0.0001) return `<${dollars(language, 4, 4).format(0.0001)}`
  return size < 0.99995 ? dollars(language, 4, 4).format(amount) : dollars(language, 2, 2).format(amount)
}

/** Whether `showUsd` leaves some of it out. */
export function isRounded(amount: Usd): boolean {
  const millionths = Math.abs(Math.round(amount * 1e6))
  return millionths !== 0 && (millionths < 100 || millionths % (millionths < 999_950 ? 100 : 10_000) !== 0)
}

/** Amounts beside an axis: as many decimals as its steps need, the same for each. */
export const usdAxis = (language: string) => (amount: number, step: number): string => {
  const decimals = step >= 1 || amount === 0 ? 0 : Math.min(6, Math.max(2, Math.ceil(-Math.log10(step) - 1e-9)))
  return dollars(language, decimals, decimals).format(amount)
}

/** All decimals that there are, for the tooltip. */
export const exactUsd = (amount: Usd, language: string) => dollars(language, 2, 6).format(amount)

export const showPrice = (price: UsdPerMTok, language: string) => dollars(language, 2, 6).format(price)

/** What a person typed as dollars; `undefined` if it is no amount that the API takes. */
export function parseUsd(text: string): Usd | undefined {
  const plain = text.trim().replace(/^\$\s*/, '')
  return /^\d{1,10}(\.\d{0,6})?$/.test(plain) && Number(plain) <= 1e9 ? usd(Number(plain)) : undefined
}
