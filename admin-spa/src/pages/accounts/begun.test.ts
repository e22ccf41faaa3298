import { expect, test } from 'vitest'
import { begun } from './begun'

function memory() {
  const kept = new Map<string, string>()
  return { getItem: (key: string) => kept.get(key) ?? null, setItem: (key: string, value: string) => void kept.set(key, value), removeItem: (key: string) => void kept.delete(key) }
}
const made = { sessionId: 's', authUrl: 'https://provider.example/x', expiresAt: '2026-01-01T00:10:00Z' }

test('a sign-in outlives a reload until its end', () => {
  const store = memory()
  begun('new claude', store).write(made)
  const read = (at: string) => begun('new claude', store).read(Date.parse(at))
  expect(read('2026-01-01T00:09:59Z')).toEqual(made)
  expect(read('2026-01-01T00:10:00Z')).toBeUndefined()
  expect(begun('other', store).read(0)).toBeUndefined()
  begun('new claude', store).write(undefined)
  expect(read('2026-01-01T00:00:00Z')).toBeUndefined()
})

test('what somebody else put there is not followed', () => {
  const store = memory()
  store.setItem('crs.sign-in.x', JSON.stringify({ ...made, authUrl: 'javascript:alert(1)' }))
  expect(begun('x', store).read(0)).toBeUndefined()
  store.setItem('crs.sign-in.x', '{')
  expect(begun('x', store).read(0)).toBeUndefined()
})
