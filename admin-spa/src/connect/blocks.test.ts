import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import { blocks } from './blocks'
import { CLIENTS, type Client, client } from './clients'
import { lasting, session, SHELLS, UnquotableValue } from './shells'

const local = { address: 'http://127.0.0.1:3000', key: 'cr_...' }

describe('blocks', () => {
  it.each(['README.md', 'README.zh-CN.md'])('are in %s as they are here', (name) => {
    const readme = readFileSync(resolve(process.cwd(), '..', name), 'utf8')
    for (const one of CLIENTS as readonly Client[]) {
      for (const block of blocks(one, 'sh', local)) {
        if (block.language === 'text') expect(readme).toContain(block.text.match(/http\S+/)?.[0])
        else expect(readme, one.id).toContain(`\`\`\`${block.language}\n${block.text}\n\`\`\``)
        if (block.path) expect(readme, one.id).toContain(`\`${block.path}\``)
      }
    }
  })

  it('exist for every client and shell, and carry the address', () => {
    for (const one of CLIENTS as readonly Client[]) {
      for (const shell of SHELLS) {
        for (const keep of [false, true]) {
          const made = blocks(one, shell, local, keep)
          expect(made.some((block) => block.text.includes(local.address)), `${one.id} ${shell}`).toBe(true)
          expect(made.some((block) => block.text.includes(local.key)), `${one.id} ${shell}`).toBe(true)
        }
      }
    }
  })

  it('name files as the system does', () => {
    expect(blocks(client('codex'), 'sh', local)[0]?.path).toBe('~/.codex/config.toml')
    expect(blocks(client('codex'), 'cmd', local)[0]?.path).toBe('%USERPROFILE%\\.codex\\config.toml')
    expect(blocks(client('claude-code'), 'powershell', local, true)[0]?.path).toBe(
      '%USERPROFILE%\\.claude\\settings.json',
    )
  })

  it('keep variables where the client or the system does', () => {
    const settings = JSON.parse(blocks(client('claude-code'), 'sh', local, true)[0]?.text ?? '')
    expect(settings).toEqual({
      env: { ANTHROPIC_BASE_URL: 'http://127.0.0.1:3000/api/', ANTHROPIC_AUTH_TOKEN: 'cr_...' },
    })
    expect(blocks(client('codex'), 'powershell', local, true).at(-1)?.text).toBe(
      "[Environment]::SetEnvironmentVariable('CRS_OAI_KEY', 'cr_...', 'User')",
    )
    expect(blocks(client('codex'), 'cmd', local, true).at(-1)?.text).toBe('setx CRS_OAI_KEY "cr_..."')
  })
})

describe('quoting', () => {
  const odd = ['a b', "it's", '$HOME', '`id`', 'a;b', '"', '\\', '*', '~', '!x', 'ä€', '#c', '&', '(1)']

  it('gives sh exactly the value', () => {
    for (const value of odd) {
      const [line] = session('sh', [['V', value]])
      const said = execFileSync('sh', ['-c', `${line}\nprintf %s "$V"`], { encoding: 'utf8' })
      expect(said).toBe(value)
    }
  })

  it('doubles every quote that PowerShell knows', () => {
    expect(session('powershell', [['V', "it's ’so‘"]])).toEqual(["$env:V = 'it''s ’’so‘‘'"])
  })

  it('refuses what a shell cannot be given', () => {
    for (const value of ['50%', 'a"b', 'a!b']) {
      expect(() => session('cmd', [['V', value]])).toThrow(UnquotableValue)
      expect(() => lasting('cmd', [['V', value]])).toThrow(UnquotableValue)
    }
    for (const shell of SHELLS) expect(() => session(shell, [['V', 'a\nb']])).toThrow(UnquotableValue)
  })
})
