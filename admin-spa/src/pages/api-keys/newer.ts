/** What the API is about to have: to be replaced by the generated calls once `assets/openapi.json` has them. */
import { listApiKeys, type Key, type ListApiKeysData, type NewKey } from '@/api'
import { client } from '@/api/generated/client.gen'
import type { Usd } from '@/lib/money'

const security = [{ scheme: 'bearer', type: 'http' }] as const

export type ListedKey = Key & { costToday?: Usd; costTotal?: Usd }
type Query = NonNullable<ListApiKeysData['query']>
export type KeysQuery = Omit<Query, 'sortBy'> & {
  status?: Key['status']
  /** With commas: all of them. */
  tags?: string
  boundTo?: string
  sortBy?: Query['sortBy'] | 'lastUsedAt' | 'costToday' | 'costTotal'
}

export const listKeys = async (query: KeysQuery, signal?: AbortSignal) => {
  const page = await listApiKeys({ query: query as Query, signal })
  return { ...page, items: page.items as ListedKey[] }
}
export const listTags = (signal?: AbortSignal) =>
  client.get<{ 200: { items: { tag: string; count: number }[] } }, unknown, true, 'data'>({ responseStyle: 'data', security: [...security], url: '/admin/api-keys/tags', signal })
export const rotateKey = (id: string) =>
  client.post<{ 200: NewKey }, unknown, true, 'data'>({ responseStyle: 'data', security: [...security], url: '/admin/api-keys/{id}/rotate', path: { id } })
export const purgeKey = (id: string) =>
  client.delete<{ 204: void }, unknown, true, 'data'>({ responseStyle: 'data', security: [...security], url: '/admin/api-keys/{id}/permanent', path: { id } })
