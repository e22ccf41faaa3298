import { expect, test } from 'vitest'
import { keyLabel } from './keyLabel'

test('a key without a name is deleted, or stands for the tests of accounts', () => {
  const words = { gone: 'Deleted', tests: 'Tests' }
  expect(keyLabel({ id: 'k', name: 'Ada' }, words)).toBe('Ada')
  expect(keyLabel({ id: 'k', name: null }, words)).toBe('Deleted')
  expect(keyLabel({ id: 'account-test', name: null }, words)).toBe('Tests')
})
