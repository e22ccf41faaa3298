// @vitest-environment node
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const root = join(import.meta.dirname, '..')
type Messages = { [key: string]: string | Messages }

function flat(messages: Messages, prefix = ''): Map<string, string> {
  const all = new Map<string, string>()
  for (const [key, value] of Object.entries(messages)) {
    if (typeof value === 'string') all.set(prefix + key, value)
    else for (const [inner, text] of flat(value, `${prefix}${key}.`)) all.set(inner, text)
  }
  return all
}
const names = (language: string) => readdirSync(join(root, 'locales', language)).sort()
const read = (language: string, name: string) => flat(JSON.parse(readFileSync(join(root, 'locales', language, name), 'utf8')) as Messages)
const placeholders = (text: string) => [...text.matchAll(/\{(\w+)\}/g)].map((one) => one[1]!).filter((name) => name !== 'n')
const sources = readdirSync(root, { recursive: true, encoding: 'utf8' })
  .filter((path) => /\.(vue|ts)$/.test(path) && !/\.test\.ts$|generated/.test(path))
  .map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') }))

/** Whether code of the page asks for the key: as a literal, or by a template with the same begin and end. */
function used(key: string, text: string, page: string): boolean {
  if (text.includes(`'${key}'`) || text.includes(`"${key}"`)) return true
  return [...text.matchAll(/`([^`]*\$\{[^`]*)`/g)].some(([, template]) => {
    const parts = template!.split(/\$\{[^}]*\}/)
    if (!/\w\.$|\.\w/.test(parts[0]!) && !parts[0]) return false
    const pattern = parts.map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('[\\w.-]+')
    return new RegExp(`^(common\\.)?${pattern}$`).test(key) || new RegExp(`^${pattern}$`).test(`${page}.${key}`)
  })
}

test('both languages have the same files', () => {
  expect(names('zh')).toEqual(names('en'))
})

test.each(names('en'))('%s: the same keys and placeholders, nothing empty', (name) => {
  const [en, zh] = [read('en', name), read('zh', name)]
  expect([...zh.keys()].sort()).toEqual([...en.keys()].sort())
  for (const [key, text] of en) {
    expect(text.trim(), `en ${key}`).not.toBe('')
    expect(zh.get(key)!.trim(), `zh ${key}`).not.toBe('')
    expect(new Set(placeholders(zh.get(key)!)), key).toEqual(new Set(placeholders(text)))
  }
})

test.each(names('en'))('%s: nothing unused', (name) => {
  const page = name.replace(/\.json$/, '')
  // A page's texts may be used by its own folder only, or where the page asks for further texts.
  const where = page === 'common' ? sources : sources.filter(({ path, text }) => path.startsWith(`pages/${page}/`) || text.includes(`/${page}.json`) || text.includes(`'${page}.`))
  const text = where.map((one) => one.text).join('\n')
  expect([...read('en', name).keys()].filter((key) => !used(key, text, page))).toEqual([])
})

test('Chinese is Chinese: no text of words was left as it was in English', () => {
  const same: string[] = []
  for (const name of names('en')) {
    const zh = read('zh', name)
    for (const [key, text] of read('en', name)) {
      // Names of products stay; a sentence does not.
      if (text === zh.get(key) && /[a-z]{2,} [a-z]{2,}/.test(text)) same.push(`${name} ${key}`)
    }
  }
  expect(same).toEqual([])
})

test('every value of the enums that people see has a text', () => {
  const api = JSON.parse(readFileSync(join(root, '../../assets/openapi.json'), 'utf8')) as {
    components: { schemas: Record<string, { enum?: string[]; properties?: Record<string, { enum?: string[] }> }> }
  }
  const { schemas } = api.components
  const wanted = [
    ...schemas.Platform!.enum!.map((value) => ['common', `platform.${value}`]),
    ...schemas.Account!.properties!.status!.enum!.map((value) => ['accounts', `status.${value}`]),
    ...schemas.SkipReason!.enum!.map((value) => ['requests', `skip.${value}`]),
    ...schemas.Signal!.enum!.map((value) => ['requests', `signal.${value}`]),
    ...schemas.ChargedItem!.enum!.map((value) => ['requests', `item.${value}`]),
    ...schemas.TokenClass!.enum!.map((value) => ['requests', `class.${value}`]),
    ...schemas.ErrorCode!.enum!.map((value) => ['common', `errors.${value}`]),
    ...schemas.AccountReason!.enum!.map((value) => ['accounts', `code.${value}`]),
    ...schemas.Cooldown!.properties!.kind!.enum!.map((value) => ['accounts', `kind.${value}`]),
    ...schemas.AccountAction!.enum!.map((value) => ['accounts', `batch.kinds.${value}`]),
    ...Object.keys(schemas.AccountChange!.properties!).map((value) => ['accounts', `field.${value}`]),
    ...schemas.PriceSource!.enum!.map((value) => ['settings', `prices.sources.${value}`]),
    ...schemas.StoreKind!.enum!.map((value) => ['settings', `about.stores.${value}`]),
    ...schemas.HostKind!.enum!.map((value) => ['settings', `about.hosts.${value}`]),
    ...schemas.AccountReason!.enum!.map((value) => ['dashboard', `reason.${value}`]),
    ...schemas.StatsLimit!.enum!.map((value) => ['dashboard', `limit.${value}`]),
  ]
  for (const [file, key] of wanted) expect(read('en', `${file}.json`).has(key!), `${file}: ${key}`).toBe(true)
})
