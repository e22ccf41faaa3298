// What pages import: the generated calls and types, and our errors.
import { errorOf } from './error'
import { client } from './generated/client.gen'

client.interceptors.error.use((body, response) => errorOf(body, response))

export * from './generated/sdk.gen'
export type * from './generated/types.gen'
export { ApiError } from './error'
export { publicOrigin } from './origin'
export { events } from './events'
