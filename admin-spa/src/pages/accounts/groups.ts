import { computed } from 'vue'
import { listAccountGroups, type AccountGroup } from '@/api'
import { useRead } from '@/app/query'
import { everyPage } from '@/lib/everyPage'

/** The account groups, read once, and their names by id. */
export function useGroups() {
  const read = useRead(() => ['account-groups', 'all'], (signal) => everyPage<AccountGroup>((page) => listAccountGroups({ query: { page, pageSize: 100 }, signal })), () => ({ staleTime: 60_000 }))
  const groups = computed(() => read.data.value ?? [])
  const byId = computed(() => new Map(groups.value.map((one) => [one.id, one.name])))
  return { groups, nameOf: (id: string) => byId.value.get(id) }
}
