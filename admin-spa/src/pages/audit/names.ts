import { computed } from 'vue'
import { listAccountGroups, listAccounts } from '@/api'
import { useRead } from '@/app/query'

/** Names of accounts and groups, for entries that hold their ids. Read only if such an entry is on screen. */
export function useNames(enabled: () => boolean) {
  const read = useRead(
    () => ['accounts', 'audit-names'],
    async (signal) => {
      const query = { page: 1, pageSize: 100 }
      const [accounts, groups] = await Promise.all([listAccounts({ query, signal }), listAccountGroups({ query, signal })])
      return new Map([...accounts.items.map((one) => [one.id, one.name] as const), ...groups.items.flatMap((one) => [[one.id, one.name] as const, [`group:${one.id}`, one.name] as const])])
    },
    () => ({ enabled: enabled(), staleTime: 300_000 }),
  )
  return computed(() => (id: string) => read.data.value?.get(id) ?? id)
}
