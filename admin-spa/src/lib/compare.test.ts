import { expect, test } from 'vitest'
import { changeOf, shareOf, showChange } from './compare'

test('a change is said in percent, a large one as a factor, and against nothing not at all', () => {
  expect(showChange(changeOf(112, 100)!, 'en')).toBe('+12%')
  expect(showChange(changeOf(50, 100)!, 'en')).toBe('-50%')
  expect(showChange(changeOf(100, 100)!, 'en')).toBe('0%')
  expect(showChange(changeOf(2300, 100)!, 'en')).toBe('×23')
  expect(changeOf(5, 0)).toBeUndefined()
  expect(changeOf(5, null)).toBeUndefined()
})

test('a share of nothing is nothing', () => {
  expect(shareOf(1, 4)).toBe(0.25)
  expect(shareOf(0, 0)).toBe(0)
})
