/** All pages of a list, in their order. `read` gives one page; 100 rows a page keep the requests few. */
export async function everyPage<T>(read: (page: number) => Promise<{ items: T[]; totalPages: number }>): Promise<T[]> {
  const all: T[] = []
  for (let page = 1; ; page++) {
    const { items, totalPages } = await read(page)
    all.push(...items)
    if (page >= totalPages || !items.length) return all
  }
}
