import type { ModelPrice, PricedModel, PriceOverride } from '@/api'

/** The prices of a model, in the order they are shown. */
export const fields = ['input', 'output', 'cacheRead', 'cacheWrite5m', 'cacheWrite1h'] as const
export type PriceField = (typeof fields)[number]
/** What is typed into a row, as text; empty: not given. */
export type Cells = Record<PriceField, string>
/** The operator's prices by model, while they are edited. */
export type Sheet = Record<string, Cells>

const plain = (value: number | null | undefined) => (value === null || value === undefined ? '' : String(value))
export const cellsOf = (price: Partial<Record<PriceField, number | null>>) => Object.fromEntries(fields.map((field) => [field, plain(price[field])])) as Cells

export const sheetOf = (overrides: Record<string, PriceOverride>): Sheet =>
  Object.fromEntries(Object.entries(overrides).map(([model, price]) => [model, cellsOf(price)]))

/** Begins to edit a model: with what is charged for input and output now; the rest follows from them. */
export const begun = (price: ModelPrice | null | undefined): Cells => cellsOf(price ? { input: price.input, output: price.output } : {})

/** What the relay takes: from 0 to a million, six decimals at most. `undefined`: it is no such number. */
export function parsePrice(text: string): number | undefined {
  const trimmed = text.trim().replace(/^\$\s*/, '')
  return /^\d{1,7}(\.\d{0,6})?$/.test(trimmed) && Number(trimmed) <= 1e6 ? Number(trimmed) : undefined
}

/** Whether a cell says something that cannot be taken. */
export const wrong = (field: PriceField, text: string) =>
  text.trim() === '' ? field === 'input' || field === 'output' : parsePrice(text) === undefined

/** The cells that cannot be taken, as `model` and `field`. */
export const wrongCells = (sheet: Sheet) =>
  Object.entries(sheet).flatMap(([model, cells]) => fields.filter((field) => wrong(field, cells[field])).map((field) => ({ model, field })))

/** What is sent: all prices of the operator. Only for a sheet without wrong cells. */
export function overridesOf(sheet: Sheet): Record<string, PriceOverride> {
  return Object.fromEntries(
    Object.entries(sheet).map(([model, cells]) => {
      const given = fields.flatMap((field) => (cells[field].trim() === '' ? [] : [[field, parsePrice(cells[field])] as const]))
      return [model, Object.fromEntries(given) as unknown as PriceOverride]
    }),
  )
}

export interface PriceChange {
  model: string
  /** `undefined`: the model's own price as a whole is taken away. */
  field?: PriceField
  /** `undefined`: not given. */
  from?: number
  to?: number
}

/** What differs between two sheets, by model. */
export function changesOf(before: Sheet, after: Sheet): PriceChange[] {
  const models = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort()
  return models.flatMap((model): PriceChange[] => {
    const [old, now] = [before[model], after[model]]
    if (!now) return [{ model }]
    return fields
      .map((field) => ({ model, field, from: old && parsePrice(old[field]), to: parsePrice(now[field]) }))
      .filter((change) => change.from !== change.to)
  })
}

export type Row = Pick<PricedModel, 'model'> & { known?: PricedModel; key: string }

/** The name under which the operator's price of a model is written, or would be. */
export const keyOf = (model: PricedModel) => model.overriddenBy ?? model.model

/** The rows to show: models that only the sheet has come first, then the relay's order. */
export function rowsOf(models: readonly PricedModel[], sheet: Sheet, search: string, show: 'all' | 'guessed' | 'own' | 'called'): Row[] {
  const known = new Set(models.map(keyOf))
  const added = Object.keys(sheet).filter((model) => !known.has(model))
  const rows: Row[] = [
    ...added.map((model) => ({ model, key: model })),
    ...models.map((model) => ({ model: model.model, known: model, key: keyOf(model) })),
  ]
  const text = search.toLowerCase()
  return rows.filter((row) => {
    if (!row.model.toLowerCase().includes(text)) return false
    if (show === 'own') return row.key in sheet
    if (show === 'guessed') return row.known?.source === 'dearestOfFamily'
    return show === 'all' || (row.known?.calls ?? 0) > 0
  })
}
