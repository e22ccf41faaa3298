import { expect, test } from 'vitest'
import { credentialsOf, emptySecrets, emptySettings, isSubscription, misplaced, missingOf, newAccount, plainSecret, PLATFORMS, settingsOf, waysOf } from './form'

test('an API key is the first way wherever there is one', () => {
  expect(waysOf('claude')[0]).toBe('apiKey')
  expect(waysOf('antigravity')).toEqual(['signIn', 'tokens'])
  expect(waysOf('openai').filter(isSubscription)).toEqual(['signIn', 'file', 'tokens'])
  expect(waysOf('openai')).not.toContain('accessKeys')
  expect(waysOf('gemini')).toContain('serviceAccount')
  for (const platform of ['openai', 'antigravity'] as const) expect(waysOf(platform)).not.toContain('serviceAccount')
  expect(PLATFORMS.filter((platform) => waysOf(platform).includes('entraApp'))).toEqual(['openai'])
  expect(waysOf('claude').filter((way) => !isSubscription(way))).toEqual(['apiKey', 'accessKeys', 'serviceAccount'])
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

test('each way has the fields it cannot do without', () => {
  expect(['apiKey', 'signIn', 'file', 'tokens', 'accessKeys', 'serviceAccount', 'entraApp'].map((way) => missingOf(way as never, emptySecrets()))).toEqual(['apiKey', undefined, 'file', 'accessToken', 'accessKeyId', 'serviceAccount', 'tenantId'])
  const keys = { ...emptySecrets(), accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: 's' }
  expect(missingOf('accessKeys', keys)).toBe('region')
  expect(missingOf('accessKeys', { ...keys, region: 'us-east-1' })).toBeUndefined()
})

test('access keys go with their region', () => {
  const keys = { ...emptySecrets(), accessKeyId: 'AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE', secretAccessKey: ' s/+= ', region: ' us-east-1 ' }
  expect(credentialsOf('accessKeys', keys)).toEqual({ credentials: { type: 'accessKeys', accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: 's/+=', sessionToken: null, region: 'us-east-1', baseUrl: null } })
})

test('a service account goes with its region', () => {
  const file = { ...emptySecrets(), serviceAccount: ' {"type":"service_account"} ', region: ' global ' }
  expect(credentialsOf('serviceAccount', file)).toEqual({ credentials: { type: 'serviceAccount', serviceAccount: '{"type":"service_account"}', project: null, region: 'global', baseUrl: null } })
  expect(credentialsOf('serviceAccount', { ...file, project: 'p-1' }).credentials).toMatchObject({ project: 'p-1' })
  expect(missingOf('serviceAccount', { ...file, region: '' })).toBe('region')
})

test('an Entra application goes with its resource', () => {
  const app = { ...emptySecrets(), tenantId: ' contoso.onmicrosoft.com ', clientId: ' 0-1 ', clientSecret: 'AZURE_CLIENT_SECRET="s~1"', baseUrl: ' https://r.openai.azure.com ' }
  const credentials = { type: 'entraApp', tenantId: 'contoso.onmicrosoft.com', clientId: '0-1', clientSecret: 's~1', baseUrl: 'https://r.openai.azure.com' }
  expect(credentialsOf('entraApp', app)).toEqual({ credentials })
  expect(missingOf('entraApp', { ...app, baseUrl: '' })).toBe('baseUrl')
  expect(newAccount('openai', 'entraApp', { ...app, apiVersion: ' 2025-04-01-preview ', keyHeader: 'api-key' }, { ...emptySettings(), name: 'A' }, null)).toEqual({ name: 'A', platform: 'openai', credentials, apiVersion: '2025-04-01-preview' })
})

test('a secret is taken out of what it was pasted with', () => {
  for (const pasted of ['sk-1', ' sk-1\n', '"sk-1"', "'sk-1'", 'Bearer sk-1', 'Authorization: Bearer sk-1', 'ANTHROPIC_API_KEY=sk-1', 'export ANTHROPIC_API_KEY="sk-1"', "$env:OPENAI_API_KEY = 'sk-1'", 'set OPENAI_API_KEY=sk-1']) expect(plainSecret(pasted), pasted).toBe('sk-1')
  // What only looks a little like it stays as it is.
  for (const pasted of ['Abc123==', 'a=b', '"half', 'x"y"']) expect(plainSecret(pasted)).toBe(pasted)
})

test('what is pasted into the wrong field is told, and what may be right is not', () => {
  const look = (platform: Parameters<typeof misplaced>[0], way: Parameters<typeof misplaced>[1], change: object) => misplaced(platform, way, { ...emptySecrets(), ...change })
  expect(look('claude', 'apiKey', { apiKey: 'sk-ant-oat01-x' })).toEqual({ field: 'apiKey', look: 'accessToken' })
  expect(look('claude', 'apiKey', { apiKey: 'sk-proj-x' })?.look).toBe('openaiKey')
  expect(look('openai', 'apiKey', { apiKey: 'sk-ant-api03-x' })?.look).toBe('claudeKey')
  expect(look('gemini', 'apiKey', { apiKey: `AIza${'x'.repeat(35)}` })).toBeUndefined()
  expect(look('claude', 'apiKey', { apiKey: `cr_${'0'.repeat(64)}` })?.look).toBe('own')
  // Another relay takes keys of its own.
  expect(look('claude', 'apiKey', { apiKey: `cr_${'0'.repeat(64)}`, baseUrl: 'https://relay.example.com' })).toBeUndefined()
  expect(look('claude', 'tokens', { accessToken: 'sk-ant-ort01-x' })).toEqual({ field: 'accessToken', look: 'refreshToken' })
  expect(look('claude', 'tokens', { accessToken: 'sk-ant-oat01-x', refreshToken: 'sk-ant-oat01-x' })).toEqual({ field: 'refreshToken', look: 'accessToken' })
  expect(look('claude', 'tokens', { accessToken: '{"claudeAiOauth":{}}' })?.look).toBe('file')
  expect(look('claude', 'tokens', { accessToken: 'sk-ant-oat01-x', refreshToken: 'sk-ant-ort01-x' })).toBeUndefined()
  expect(look('openai', 'tokens', { accessToken: 'eyJhbGciOi' })).toBeUndefined()
  for (const own of ['sk-ant-test-first', 'sk-123', 'anything']) expect(look('claude', 'apiKey', { apiKey: own })).toBeUndefined()
})
