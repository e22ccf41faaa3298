import { describe, expect, it } from 'vitest'
import { readRoutes, writeRoutes } from './routes'

describe('model routes', () => {
  it('come back as they were written', () => {
    const text = 'claude-sonnet-* = openai/gpt-5.4, claude\nchat: * = gemini@g1\nllama3:8b = openai/meta/llama3:8b'
    const routes = readRoutes(text)
    expect(routes).toEqual([
      { models: 'claude-sonnet-*', to: [{ platform: 'openai', model: 'gpt-5.4' }, { platform: 'claude' }] },
      { client: 'chat', models: '*', to: [{ platform: 'gemini', group: 'g1' }] },
      { models: 'llama3:8b', to: [{ platform: 'openai', model: 'meta/llama3:8b' }] },
    ])
    expect(writeRoutes(routes!)).toBe(text)
  })

  it('are none without text, and unread where a line is no route', () => {
    expect(readRoutes(' \n')).toEqual([])
    for (const text of ['claude', '= openai', 'a = ', 'a = mars', 'a = openai,,claude', 'a = openai/']) expect(readRoutes(text), text).toBeUndefined()
  })
})
