/** How text becomes a value in a shell, and how a shell sets variables. */

export const SHELLS = ['sh', 'powershell', 'cmd'] as const
/** `sh`: bash and zsh, so macOS, Linux and WSL. */
export type Shell = (typeof SHELLS)[number]

export type Variable = readonly [name: string, value: string]

/** What no shell gives a meaning of its own. */
const PLAIN = /^[\w:/.@+-]+$/

/** Thrown for a value that a shell cannot be given in one line. */
export class UnquotableValue extends Error {}

function quoted(shell: Shell, value: string): string {
  if (/[\0\r\n]/.test(value)) throw new UnquotableValue('a value has a line break')
  switch (shell) {
    case 'sh':
      return PLAIN.test(value) ? value : `'${value.replaceAll("'", `'\\''`)}'`
    case 'powershell':
      return `'${value.replaceAll(/['‘’‚‛]/g, '$&$&')}'`
    case 'cmd':
      // Nothing quotes these for cmd, neither inside of quotes nor with a caret.
      if (/["%!]/.test(value)) throw new UnquotableValue('a value has a character that cmd cannot take')
      return value
  }
}

/** Lines that set `variables` for this terminal. */
export function session(shell: Shell, variables: readonly Variable[]): string[] {
  return variables.map(([name, value]) => {
    const text = quoted(shell, value)
    if (shell === 'sh') return `export ${name}=${text}`
    if (shell === 'powershell') return `$env:${name} = ${text}`
    return `set "${name}=${text}"`
  })
}

/** Lines that set `variables` for every terminal that is opened from now on. `sh` keeps them in a file. */
export function lasting(shell: Exclude<Shell, 'sh'>, variables: readonly Variable[]): string[] {
  return variables.map(([name, value]) => {
    const text = quoted(shell, value)
    return shell === 'powershell'
      ? `[Environment]::SetEnvironmentVariable('${name}', ${text}, 'User')`
      : `setx ${name} "${text}"`
  })
}

/** A path below the user's home, as the shell's system writes it. */
export function inHome(shell: Shell, path: string): string {
  return shell === 'sh' ? `~/${path}` : `%USERPROFILE%\\${path.replaceAll('/', '\\')}`
}
