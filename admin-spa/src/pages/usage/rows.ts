import type { NamedUsage } from '@/api'
import { promptOf } from '@/lib/totals'
import { shareOf } from '@/lib/compare'

export type RowSort = 'name' | 'cost' | 'requests' | 'errors' | 'prompt' | 'output' | 'cached'

/** How much of what went in was read from the cache, 0 to 1. */
export const cachedShare = (row: NamedUsage) => shareOf(row.totals.cacheRead, promptOf(row.totals))

const figure: Record<Exclude<RowSort, 'name'>, (row: NamedUsage) => number> = {
  cost: (row) => row.totals.cost,
  requests: (row) => row.totals.requests,
  errors: (row) => row.totals.errors,
  prompt: (row) => promptOf(row.totals),
  output: (row) => row.totals.output,
  cached: cachedShare,
}

export function sorted(rows: readonly NamedUsage[], by: RowSort, order: 'asc' | 'desc', language: string): NamedUsage[] {
  const compare = (a: NamedUsage, b: NamedUsage) => (by === 'name' ? (a.name ?? a.id).localeCompare(b.name ?? b.id, language) : figure[by](a) - figure[by](b))
  return [...rows].sort((a, b) => (order === 'asc' ? 1 : -1) * compare(a, b) || a.id.localeCompare(b.id))
}

/** A text that a spreadsheet would take for a formula gets a `'` before it, as in the API's own CSV. */
function cell(value: string | number): string {
  const text = typeof value === 'string' && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value)
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

export function csvOf(rows: readonly NamedUsage[]): string {
  const head = ['id', 'name', 'requests', 'errors', 'input', 'output', 'cacheWrite5m', 'cacheWrite1h', 'cacheRead', 'costUsd']
  const lines = rows.map(({ id, name, totals: one }) => [id, name ?? '', one.requests, one.errors, one.input, one.output, one.cacheWrite5m, one.cacheWrite1h, one.cacheRead, one.cost])
  return [head, ...lines].map((line) => `${line.map(cell).join(',')}\r\n`).join('')
}
