import { expect, test } from 'vitest'
import { credentialsOf, emptySecrets, emptySettings, isSubscription, neededOf, newAccount, settingsOf, waysOf } from './form'

test('an API key is the first way wherever there is one', () => {
  expect(waysOf('claude')[0]).toBe('apiKey')
  expect(waysOf('antigravity')).toEqual(['signIn', 'tokens'])
  expect(waysOf('openai').filter(isSubscription)).toEqual(['signIn', 'file', 'tokens'])
})

test('only what was set is sent', () => {
  const secrets = { ...emptySecrets(), apiKey: ' sk-1 ', accessToken: 'never sent' }
  expect(newAccount('claude', 'apiKey', secrets, { ...emptySettings(), name: ' A ' }, null)).toEqual({ name: 'A', platform: 'claude', credentials: { type: 'apiKey', apiKey: 'sk-1', baseUrl: null } })
  expect(settingsOf({ name: '', groups: ['g'], priority: 10, maxConcurrency: 3, shared: false }, { type: 'http', host: 'a', port: 1 })).toEqual({
    groups: ['g'], priority: 10, maxConcurrency: 3, shared: false, proxy: { type: 'http', host: 'a', port: 1 },
  })
})

test('tokens go with what is known of them', () => {
  const secrets = { ...emptySecrets(), accessToken: 'a' }
  expect(credentialsOf('tokens', secrets)).toEqual({ credentials: { type: 'oauth', accessToken: 'a', refreshToken: null } })
  const more = { ...secrets, refreshToken: 'r', tenant: 't', expiresAt: '2026-01-01T10:00' }
  expect(credentialsOf('tokens', more)).toEqual({ credentials: { type: 'oauth', accessToken: 'a', refreshToken: 'r', tenant: 't', expiresAt: new Date('2026-01-01T10:00').toISOString() } })
  expect(credentialsOf('file', { ...secrets, file: ' {} ' })).toEqual({ credentialsFile: '{}' })
})

test('each way has the field it cannot do without', () => {
  expect(['apiKey', 'signIn', 'file', 'tokens'].map((way) => neededOf(way as never))).toEqual(['apiKey', undefined, 'file', 'accessToken'])
})
