import { beforeEach, expect, test } from 'vitest'
import { addressOf, knownAddress, rememberAddress } from './address'

beforeEach(() => localStorage.clear())

test('the operator\'s address is given to clients, with a login and without', () => {
  expect(addressOf({ publicAddress: 'https://relay.example.com' })).toBe('https://relay.example.com')
  expect(addressOf({ publicAddress: null })).toBe(location.origin)
  expect(addressOf(undefined)).toBe(location.origin)
  expect(knownAddress()).toBe(location.origin)
  rememberAddress('https://relay.example.com')
  expect(knownAddress()).toBe('https://relay.example.com')
  // The setting was taken away.
  rememberAddress(null)
  expect(knownAddress()).toBe(location.origin)
})
