import { describe, expect, it } from 'vitest'
import { blocks } from './blocks'
import { client, CLIENTS, type Client } from './clients'
import { guessSystem, shellOf, SYSTEMS, systemBlocks } from './systems'

const to = { address: 'https://relay.example.com', key: 'cr_1' }

describe('systems', () => {
  it('are guessed from the user agent', () => {
    expect(guessSystem('Mozilla/5.0 (Windows NT 10.0; Win64; x64)')).toBe('powershell')
    expect(guessSystem('Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)')).toBe('macos')
    expect(guessSystem('Mozilla/5.0 (X11; Linux x86_64)')).toBe('linux')
  })

  it('give the tested blocks of their shell, word for word', () => {
    for (const one of CLIENTS as readonly Client[]) {
      for (const system of SYSTEMS) {
        for (const keep of [false, true]) {
          const texts = systemBlocks(one, system, to, keep).map((block) => block.text)
          expect(texts).toEqual(blocks(one, shellOf(system), to, keep).map((block) => block.text))
        }
      }
    }
  })

  it('name the start file of their shell', () => {
    const path = (system: 'macos' | 'linux') => systemBlocks(client('codex'), system, to, true).at(-1)?.path
    expect(path('macos')).toBe('~/.zshrc')
    expect(path('linux')).toBe('~/.bashrc')
  })
})
