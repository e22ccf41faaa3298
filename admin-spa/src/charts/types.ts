/** One line, or one part of each bar. */
export interface Series {
  key: string
  name: string
  /** As many as there are labels; `null`: nothing known there. */
  values: readonly (number | null)[]
}

/** Something on a time axis, in milliseconds since 1970. */
export interface Span {
  key: string
  from: number
  to: number
  label: string
  tone: 'ok' | 'warn' | 'bad' | 'info' | 'off'
  /** 0 to 1: how much of it is used; drawn as the filled part of its height. */
  fill?: number
}

export interface Lane {
  key: string
  name: string
  spans: readonly Span[]
}

const colours = 8
/** Class that paints the nth series; the last colour is for "others". */
export const paint = (index: number) => `chart-${Math.min(index, colours - 1) + 1}`
