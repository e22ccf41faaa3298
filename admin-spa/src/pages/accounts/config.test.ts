import { expect, test } from 'vitest'
import { dateOf, endOfDay, patchBody, readLines, readMapping, writeMapping } from './config'

test('models are one a line, each once', () => {
  expect(readLines(' claude-opus-4-5 \n\nclaude-sonnet-4-5\nclaude-opus-4-5')).toEqual(['claude-opus-4-5', 'claude-sonnet-4-5'])
})

test('a mapping is read as people write arrows, and refused if a line is half', () => {
  expect(readMapping('a = b\nc -> d\ne=>f\ng → h')).toEqual({ a: 'b', c: 'd', e: 'f', g: 'h' })
  expect(readMapping('')).toEqual({})
  for (const wrong of ['a', 'a =', '= b', 'a = b = c']) expect(readMapping(wrong), wrong).toBeUndefined()
  expect(readMapping(writeMapping({ a: 'b', c: 'd' }))).toEqual({ a: 'b', c: 'd' })
})

test('a day goes there and back', () => {
  expect(dateOf(endOfDay('2026-03-01'))).toBe('2026-03-01')
  expect(endOfDay('')).toBeNull()
  expect(dateOf(null)).toBe('')
})

test('no models are sent as all models, and only if they changed', () => {
  expect(patchBody({ supportedModels: [] })).toEqual({ supportedModels: null })
  expect(patchBody({ supportedModels: ['a'], priority: 3 })).toEqual({ priority: 3, supportedModels: ['a'] })
  expect(patchBody({ priority: 3 })).toEqual({ priority: 3 })
  expect(patchBody({ apiVersion: ' ' })).toEqual({ apiVersion: null })
  expect(patchBody({ apiVersion: '2024-10-21' })).toEqual({ apiVersion: '2024-10-21' })
})
