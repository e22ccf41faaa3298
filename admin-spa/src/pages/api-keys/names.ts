import { computed } from 'vue'
import { listAccountGroups, listAccounts } from '@/api'
import { useRead } from '@/app/query'
import { everyPage } from './batch'

/** Names of accounts and groups, read once: what keys are bound to is an id. */
export function useBindable(enabled: () => boolean) {
  const read = useRead(() => ['accounts', 'names'], async (signal) => {
    const [accounts, groups] = await Promise.all([
      everyPage((page) => listAccounts({ query: { page, pageSize: 100, sortBy: 'name', sortOrder: 'asc' }, signal })),
      everyPage((page) => listAccountGroups({ query: { page, pageSize: 100 }, signal })),
    ])
    return [
      ...groups.map((one) => ({ id: `group:${one.id}`, name: one.name, platform: one.platform as string, isGroup: true })),
      ...accounts.map((one) => ({ id: one.id, name: one.name, platform: one.platform as string, isGroup: false })),
    ]
  }, () => ({ enabled: enabled(), staleTime: 300_000 }))
  const byId = computed(() => new Map((read.data.value ?? []).map((one) => [one.id, one])))
  return { bindable: computed(() => read.data.value ?? []), nameOf: (id: string) => byId.value.get(id)?.name }
}
