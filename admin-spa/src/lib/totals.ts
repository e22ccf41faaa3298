import type { Tokens } from '@/api/generated/types.gen'

/** All tokens that went in, cached or not. */
export const promptOf = (one: Tokens) => one.input + one.cacheWrite5m + one.cacheWrite1h + one.cacheRead

/** All five classes of tokens. */
export const tokensOf = (one: Tokens) => promptOf(one) + one.output
