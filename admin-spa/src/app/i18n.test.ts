import { expect, test } from 'vitest'
import { isolated } from './i18n'

test('names from right to left are isolated, and nothing else is touched', () => {
  expect(isolated({ name: 'שלום', count: 3, plain: 'Ada', none: undefined })).toEqual({ name: '\u2068שלום\u2069', count: 3, plain: 'Ada', none: undefined })
})
