import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { startOf } from './days'
import { actions, asWords, flat, pageOf, telling } from './entry'

test('the list of actions is the one of the relay', () => {
  const root = join(import.meta.dirname, '../../../../src')
  const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.rs') && !/tests?(\/|\.rs)/.test(file))
  const code = files.map((file) => readFileSync(join(root, file), 'utf8').split('#[cfg(test)]')[0]).join('\n')
  const found = [
    // What the store compares, what is noted beside it.
    ...(/fn action\([^]*?\n}/.exec(code)?.[0].matchAll(/"([a-z]+\.[a-z_]+)"/g) ?? []),
    ...code.matchAll(/\.event\(\s*"([a-z]+\.[a-z_]+)"/g),
    ...code.matchAll(/noted\([^"]*"([a-z]+\.[a-z_]+)"/g),
    ...code.matchAll(/"(admin\.[a-z_]+)"/g),
  ].map((match) => match[1]!)
  expect(found.length).toBeGreaterThan(20)
  expect([...new Set(found)].filter((one) => !(actions as readonly string[]).includes(one))).toEqual([])
})

test('every action and every field that is told has a text', () => {
  const read = (path: string) => readFileSync(join(import.meta.dirname, path), 'utf8')
  const texts = JSON.parse(read('../../locales/en/audit.json')) as { actions: Record<string, Record<string, string>>; fields: Record<string, string> }
  for (const action of actions) expect(texts.actions[action.split('.')[0]!]?.[action.split('.')[1]!], action).toBeTruthy()
  const lists = [...read('../../../../src/store/audit/diff.rs').matchAll(/const (?:KEY|ACCOUNT|GROUP|SITE|LOGIN): &\[&str\] = &\[([^\]]*)\]/g)]
  expect(lists).toHaveLength(5)
  const fields = lists.flatMap((list) => [...list[1]!.matchAll(/"(\w+)"/g)].map((match) => match[1]!))
  expect(fields.filter((field) => !texts.fields[field])).toEqual([])
})

test('names lead to their page, unless there is none any more', () => {
  const to = (subject: string, action = 'x') => pageOf({ subject, action })
  expect(to('key:4f2a')).toBe('/api-keys/4f2a')
  expect(to('account:a/../b')).toBe('/accounts/a%2F..%2Fb')
  expect(to('call:req_1')).toBe('/requests/req_1')
  expect(to('prices')).toBe('/settings')
  expect(to('key:4f2a', 'key.purge')).toBeUndefined()
  expect(to('session:1')).toBeUndefined()
  expect(to('key:')).toBeUndefined()
})

test('of a new record only what was said comes first, of many changes a few', () => {
  const change = (field: string, to: unknown, secret = false) => ({ field, from: null, to, secret })
  const made = telling({ action: 'key.create', changes: [change('name', 'bob'), change('tags', []), change('isActive', true), change('dailyCostLimit', 0), change('weeklyCostLimit', 5), change('hash', null, true)] })
  expect(made.first.map((one) => one.field)).toEqual(['weeklyCostLimit'])
  expect(made.rest.map((one) => one.field)).toEqual(['name', 'tags', 'isActive', 'dailyCostLimit', 'hash'])
  const many = telling({ action: 'key.update', changes: Array.from({ length: 20 }, (_, n) => change(`f${n}`, 0)) })
  expect([many.first.length, many.rest.length]).toEqual([6, 14])
  expect(telling({ action: 'key.update', changes: [change('a', null, true), change('b', 0)] }).rest).toEqual([])
})

test('values and fields read as words', () => {
  expect(asWords('weeklyOpusCostLimit')).toBe('weekly opus cost limit')
  const nameOf = (id: string) => (id === 'a1' ? 'Main' : id)
  expect(flat({ claude: 'a1', gemini: 'x' }, nameOf)).toBe('claude: Main, gemini: x')
  expect(flat(['a1', 2, { deep: [true] }], nameOf)).toBe('Main, 2, deep: true')
})

test('a day begins when it does in the zone on screen', () => {
  expect(startOf('2026-01-31', 'utc', 480)).toBe('2026-01-31T00:00:00.000Z')
  expect(startOf('2026-01-31', 'operator', 480)).toBe('2026-01-30T16:00:00.000Z')
  expect(startOf('2026-01-31', 'operator', -480, 1)).toBe('2026-02-01T08:00:00.000Z')
  expect(startOf('2026-01-31', 'browser', 0, 1)).toBe(new Date(2026, 1, 1).toISOString())
  expect(startOf('31.1.', 'utc', 0)).toBeUndefined()
  expect(startOf('', 'utc', 0)).toBeUndefined()
})
