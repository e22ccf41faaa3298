/** The systems that people choose from: a shell, and where it keeps variables for good. */

import { type Block, blocks, START_FILES } from './blocks.ts'
import type { Client, Connection } from './clients.ts'
import type { Shell } from './shells.ts'

export const SYSTEMS = ['macos', 'linux', 'powershell', 'cmd'] as const
export type System = (typeof SYSTEMS)[number]

export const shellOf = (system: System): Shell => (system === 'macos' || system === 'linux' ? 'sh' : system)

/** The system that a browser's user agent names; Linux if it names none. */
export function guessSystem(userAgent: string): System {
  if (/Windows/.test(userAgent)) return 'powershell'
  return /Mac OS X|Macintosh|iPhone|iPad/.test(userAgent) ? 'macos' : 'linux'
}

/** As `blocks`, with the start file of the system. */
export function systemBlocks(client: Client, system: System, to: Connection, keep = false): Block[] {
  return blocks(client, shellOf(system), to, keep).map((block) =>
    system === 'macos' && block.path === START_FILES.linux ? { ...block, path: START_FILES.macos } : block,
  )
}
