export interface Column<K extends string = string> {
  /** Name of the slot `cell-<key>`. */
  key: K
  label: string
  /** The server's name for sorting by it. */
  sort?: string
  number?: boolean
  /** The label is for screen readers only (actions). */
  quiet?: boolean
  /** Where it goes on a phone: first line, end of the first line, begin of the second, a line of its own; else the second line. */
  phone?: 'title' | 'end' | 'lead' | 'full'
  /** Classes of its cells on a wide screen, for widths. */
  class?: string
}

export interface Sort {
  by: string
  order: 'asc' | 'desc'
}

/** Classes of a column's cells, in the head as in the rows. */
export const placeOf = (column: Column, index: number) => [column.number ? 'dt-num' : '', index === 0 ? 'dt-first' : '', column.quiet ? 'dt-quiet' : '', column.class]
