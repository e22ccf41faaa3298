import { onBeforeUnmount, onMounted, ref } from 'vue'

/** A filter with a name: what the address of the list says, without the page. */
export interface View {
  name: string
  query: Record<string, string>
}

/** Most views of a list, and most letters of a name. */
export const MOST = 20
export const LETTERS = 40

/** What is stored, without what another version or a person left there that is none. */
export function readViews(stored: string | null): View[] {
  let read: unknown
  try {
    read = JSON.parse(stored ?? '[]')
  } catch {
    return []
  }
  if (!Array.isArray(read)) return []
  const views: View[] = []
  for (const one of read as unknown[]) {
    const { name, query } = (one ?? {}) as Partial<View>
    if (typeof name !== 'string' || !name.trim() || typeof query !== 'object' || query === null) continue
    const texts = Object.entries(query).filter((entry): entry is [string, string] => typeof entry[1] === 'string')
    views.push({ name: name.trim().slice(0, LETTERS), query: Object.fromEntries(texts) })
  }
  return views.slice(0, MOST)
}

const words = (query: Record<string, unknown>) => JSON.stringify(Object.entries(query).sort(([a], [b]) => (a < b ? -1 : 1)))
export const sameQuery = (a: Record<string, unknown>, b: Record<string, unknown>) => words(a) === words(b)

/** With the view, in the place of one of its name; the oldest goes when there are too many. */
export function withView(views: readonly View[], view: View): View[] {
  const at = views.findIndex((one) => one.name === view.name)
  return (at < 0 ? [...views, view] : views.with(at, view)).slice(-MOST)
}

/** The views of a list, kept in this browser and the same in all its tabs. */
export function useViews(list: string) {
  const store = `crs-views-${list}`
  const views = ref<View[]>(readViews(localStorage.getItem(store)))
  // Another tab may have added one meanwhile: what is stored counts.
  const load = () => (views.value = readViews(localStorage.getItem(store)))
  function keep(next: View[]) {
    views.value = next
    try {
      localStorage.setItem(store, JSON.stringify(next))
    } catch {
      // Storage may be full or off: they last as long as the page.
    }
  }
  const changed = (event: StorageEvent) => (event.key === store || event.key === null) && load()
  onMounted(() => addEventListener('storage', changed))
  onBeforeUnmount(() => removeEventListener('storage', changed))
  return {
    views,
    save: (view: View) => keep(withView(load(), view)),
    remove: (name: string) => keep(load().filter((one) => one.name !== name)),
  }
}
