import { beforeEach, expect, test, vi } from 'vitest'

const id = (n: number) => `0199aaaa-0000-7000-8000-${String(n).padStart(12, '0')}`

async function fresh() {
  vi.resetModules()
  return import('./held')
}
beforeEach(() => sessionStorage.clear())

test('ids outlive a reload of the tab, the texts of keys do not', async () => {
  const { held } = await fresh()
  held.restore()
  held.add([{ id: id(1), secret: 'cr_secret' }, { id: id(2) }])
  expect(JSON.stringify(sessionStorage) + JSON.stringify(localStorage)).not.toContain('cr_secret')
  const again = (await fresh()).held
  again.restore()
  expect(again.all.value).toEqual([{ id: id(1) }, { id: id(2) }])
})

test('forgetting leaves nothing', async () => {
  const { held } = await fresh()
  held.restore({ apiIds: `${id(1)},${id(2)}` })
  held.forget(id(1))
  expect(held.all.value).toEqual([{ id: id(2) }])
  held.forget()
  expect(held.all.value).toEqual([])
  expect(sessionStorage.length).toBe(0)
})

test('a key is there once, and gets its text later', async () => {
  const { held, mostKeys } = await fresh()
  held.restore({ apiId: id(1) })
  held.add([{ id: id(1), secret: 'cr_1' }])
  expect(held.all.value).toEqual([{ id: id(1), secret: 'cr_1' }])
  held.add(Array.from({ length: 50 }, (_, n) => ({ id: id(n) })))
  expect(held.all.value).toHaveLength(mostKeys)
})

test('links of CRS are read, and nothing else of an address', async () => {
  const { linkedIds } = await fresh()
  expect(linkedIds({ apiId: id(1), apiIds: `${id(2)}, ${id(1)},cr_secret,*` })).toEqual([id(1), id(2)])
  expect(linkedIds({ apiId: [id(1), null], apiIds: undefined })).toEqual([id(1)])
  sessionStorage.setItem('crs-stats', '{"a":1}')
  const { held } = await fresh()
  held.restore()
  expect(held.all.value).toEqual([])
})

test('several keys are found in what was pasted', async () => {
  const { keysIn } = await fresh()
  expect(keysIn(' cr_1\ncr_2, cr_1;"cr_3" ')).toEqual(['cr_1', 'cr_2', 'cr_3'])
  expect(keysIn('export ANTHROPIC_AUTH_TOKEN=cr_1\n$env:OPENAI_API_KEY = "cr_2"\nAuthorization: Bearer cr_3')).toEqual(['cr_1', 'cr_2', 'cr_3'])
  expect(keysIn(' ')).toEqual([])
})
