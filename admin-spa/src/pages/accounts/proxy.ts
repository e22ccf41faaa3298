import type { ProxyInputWritable as ProxyInput } from '@/api'

/** A proxy as it is typed: its address, and the login beside it so that no password stands in an address. */
export interface ProxyForm {
  address: string
  username: string
  password: string
}
export const emptyProxy = (): ProxyForm => ({ address: '', username: '', password: '' })

const types = { 'http:': 'http', 'https:': 'https', 'socks5:': 'socks5', 'socks5h:': 'socks5' } as const
const part = (text: string) => {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** Reads `scheme://[user:password@]host:port`; `undefined`: it is none. The port has to be there. */
export function readAddress(text: string): Pick<ProxyInput, 'type' | 'host' | 'port' | 'username' | 'password'> | undefined {
  const match = /^([a-z0-9]+:)\/\/(?:([^@/]*)@)?(\[[0-9a-f:.]+\]|[^:/@?#\s]+):(\d{1,5})\/?$/i.exec(text.trim())
  const type = types[match?.[1]?.toLowerCase() as keyof typeof types]
  const port = Number(match?.[4])
  if (!match || !type || port < 1 || port > 65_535) return undefined
  const [username, ...rest] = (match[2] ?? '').split(':')
  const password = rest.join(':')
  return {
    type,
    host: match[3]!,
    port,
    ...(username ? { username: part(username) } : {}),
    ...(password ? { password: part(password) } : {}),
  }
}

/** What is sent; `undefined`: the address is none. An empty address is no proxy: `null`. */
export function proxyOf(form: ProxyForm): ProxyInput | null | undefined {
  if (!form.address.trim()) return null
  const read = readAddress(form.address)
  if (!read) return undefined
  return { ...read, ...(form.username ? { username: form.username } : {}), ...(form.password ? { password: form.password } : {}) }
}

/** Takes a login out of the address, into the fields of its own. */
export function apart(form: ProxyForm): ProxyForm {
  const read = readAddress(form.address)
  if (!read?.username && !read?.password) return form
  return { address: `${read.type}://${read.host}:${read.port}`, username: read.username ?? form.username, password: read.password ?? form.password }
}
