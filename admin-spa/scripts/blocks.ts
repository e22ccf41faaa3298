/**
 * Prints the blocks of every client as JSON: `node scripts/blocks.ts ADDRESS KEY`. The tests that run the real clients
 * paste them. Node strips the types.
 */

import { argv, stdout } from 'node:process'
import { blocks } from '../src/connect/blocks.ts'
import { type Client, CLIENTS } from '../src/connect/clients.ts'

const [, , address = '', key = ''] = argv
const all = (CLIENTS as readonly Client[]).map((client) => ({
  id: client.id,
  command: client.command ?? null,
  form: client.form?.({ address, key }) ?? null,
  session: blocks(client, 'sh', { address, key }),
  lasting: blocks(client, 'sh', { address, key }, true),
}))
stdout.write(JSON.stringify(all))
