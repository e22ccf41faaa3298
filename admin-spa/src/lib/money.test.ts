import { expect, test } from 'vitest'
import { addUsd, exactUsd, isRounded, parseUsd, showUsd, usdAxis, usd } from './money'

test('two decimals from a dollar, four below, and zero only for nothing', () => {
  for (const [amount, shown] of [
    [0, '$0'],
    [0.000001, '<$0.0001'],
    [0.00009, '<$0.0001'],
    [0.0001, '$0.0001'],
    [0.25, '$0.2500'],
    [0.99994, '$0.9999'],
    [0.99999, '$1.00'],
    [1, '$1.00'],
    [1043.834, '$1,043.83'],
    [1e9, '$1,000,000,000.00'],
  ] as const) {
    expect(showUsd(usd(amount), 'en')).toBe(shown)
  }
  expect(showUsd(usd(1043.834), 'zh-CN')).toBe('$1,043.83')
})

test('the exact amount has all decimals', () => {
  expect(exactUsd(usd(1043.834001), 'en')).toBe('$1,043.834001')
  expect(exactUsd(usd(0.1), 'en')).toBe('$0.10')
})

test('sums are exact to the millionth', () => {
  expect(addUsd(usd(0.1), usd(0.2))).toBe(0.3)
  expect(addUsd(...Array.from({ length: 1000 }, () => usd(0.000001)))).toBe(0.001)
})

test('what is typed is an amount that the API takes, or nothing', () => {
  for (const [text, amount] of [
    ['10', 10],
    [' $ 0.25 ', 0.25],
    ['19.999999', 19.999999],
    ['1000000000', 1e9],
    ['1000000001', undefined],
    ['0.0000001', undefined],
    ['-1', undefined],
    ['1e3', undefined],
    ['1,5', undefined],
    ['', undefined],
  ] as const) {
    expect(parseUsd(text), text).toBe(amount)
  }
})

test('amounts beside an axis all have the decimals that its steps need', () => {
  const axis = usdAxis('en-US')
  expect([0, 0.5, 1, 1.5].map((amount) => axis(amount, 0.5))).toEqual(['$0', '$0.50', '$1.00', '$1.50'])
  expect([20, 40].map((amount) => axis(amount, 20))).toEqual(['$20', '$40'])
  expect(axis(0.002, 0.001)).toBe('$0.002')
})

test('rounded is what shows fewer digits than there are', () => {
  for (const whole of [0, 0.0001, 0.25, 0.9999, 1, 1043.83, 1e9]) expect(isRounded(usd(whole)), String(whole)).toBe(false)
  for (const cut of [0.000001, 0.00009, 0.12345, 0.99994, 0.99999, 1.001, 1043.834]) expect(isRounded(usd(cut)), String(cut)).toBe(true)
})
