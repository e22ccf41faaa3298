/** The blocks that people paste to connect a client. */

import { type Client, type Connection } from './clients.ts'
import { inHome, lasting, session, type Shell } from './shells.ts'

export type Language = 'sh' | 'powershell' | 'bat' | 'toml' | 'json' | 'python' | 'text'

/** What is pasted in one piece. */
export interface Block {
  /** The file it goes into, or into which it is merged; `null`: a terminal, or a tool's form. */
  readonly path: string | null
  readonly language: Language
  readonly text: string
}

const LANGUAGES: Record<Shell, Language> = { sh: 'sh', powershell: 'powershell', cmd: 'bat' }

/** Where `sh` keeps variables for good: zsh's file on macOS, bash's elsewhere. */
export const START_FILES = { macos: '~/.zshrc', linux: '~/.bashrc' } as const

/**
 * What connects `client`, in the order in which it is pasted: files first, the terminal last.
 *
 * @param keep whether the variables are to last, or are set for one terminal.
 */
export function blocks(client: Client, shell: Shell, to: Connection, keep = false): Block[] {
  const made: Block[] = []
  for (const file of client.files?.(to) ?? []) {
    made.push({ path: inHome(shell, file.path), language: file.language, text: file.text })
  }
  const variables = client.variables?.(to) ?? []
  if (keep && client.lasting) {
    for (const file of client.lasting(to)) {
      made.push({ path: inHome(shell, file.path), language: file.language, text: file.text })
    }
    if (client.command) made.push({ path: null, language: LANGUAGES[shell], text: client.command })
  } else if (keep && variables.length > 0) {
    made.push(...kept(client, shell, to))
  } else if (variables.length > 0) {
    const lines = [...session(shell, variables), ...(client.command ? [client.command] : [])]
    made.push({ path: null, language: LANGUAGES[shell], text: lines.join('\n') })
  }
  const python = client.python?.(to)
  if (python) made.push({ path: null, language: 'python', text: python })
  const form = client.form?.(to)
  if (form) {
    const lines = [`Base URL: ${form.baseUrl}`, `API key: ${form.key}`, `Model: ${form.model}`]
    made.push({ path: null, language: 'text', text: lines.join('\n') })
  }
  return made
}

/** Variables that last, where the client has no file for them. */
function kept(client: Client, shell: Shell, to: Connection): Block[] {
  const variables = client.variables?.(to) ?? []
  if (shell === 'sh') {
    return [{ path: START_FILES.linux, language: 'sh', text: session(shell, variables).join('\n') }]
  }
  return [{ path: null, language: LANGUAGES[shell], text: lasting(shell, variables).join('\n') }]
}
