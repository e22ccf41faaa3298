// Holds the build against the budget (gzip, JS and CSS): what a page loads cold in one language, each further page,
// and everything. Pages are told apart by Vite's manifest.
import { readdirSync, readFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'

const budget = { bare: 110, page: 200, further: 40, all: 600 }
/** Pages that load without a login. */
const bare = ['login', 'api-stats']
const dist = new URL('../dist/', import.meta.url)
const manifest = JSON.parse(readFileSync(new URL('.vite/manifest.json', dist), 'utf8'))

const sizes = new Map()
function size(file) {
  if (!sizes.has(file)) sizes.set(file, gzipSync(readFileSync(new URL(file, dist)), { level: 9 }).length)
  return sizes.get(file)
}

/** Files that an entry needs before it runs: itself, what it imports, their CSS. */
function needs(name, into = new Set()) {
  const entry = manifest[name]
  if (!entry) throw new Error(`the manifest has no ${name}`)
  if (into.has(entry.file)) return into
  into.add(entry.file)
  for (const css of entry.css ?? []) into.add(css)
  for (const other of entry.imports ?? []) needs(other, into)
  return into
}
const kilobytes = (files) => [...files].reduce((sum, file) => sum + size(file), 0) / 1024

const start = ['index.html', 'src/locales/zh/common.json']
const shell = ['src/app/Shell.vue']
const own = Object.keys(manifest).filter((name) => /^src\/pages\/[^/]+\/[^/]*Page\.vue$/.test(name))
let failed = false
function report(what, amount, limit) {
  const over = amount > limit
  failed ||= over
  console.log(`${over ? 'OVER ' : 'ok   '} ${what.padEnd(44)} ${amount.toFixed(1).padStart(7)} of ${limit} KB`)
}

const base = new Set([...start, ...shell].flatMap((name) => [...needs(name)]))
const boot = readdirSync(new URL('assets/', dist)).filter((name) => name.startsWith('before-paint')).map((name) => `assets/${name}`)
for (const page of own) {
  const name = page.split('/')[2]
  const text = `src/locales/zh/${name}.json`
  const entries = [...start, ...(bare.includes(name) ? [] : shell), page, ...(manifest[text] ? [text] : [])]
  const cold = new Set([...boot, ...entries.flatMap((one) => [...needs(one)])])
  report(`${page.slice('src/pages/'.length)} cold`, kilobytes(cold), bare.includes(name) ? budget.bare : budget.page)
  if (!bare.includes(name)) report(`${page.slice('src/pages/'.length)} further`, kilobytes([...cold].filter((file) => !base.has(file) && !boot.includes(file))), budget.further)
}
const all = readdirSync(new URL('assets/', dist)).filter((name) => /\.(js|css)$/.test(name)).map((name) => `assets/${name}`)
report('everything', kilobytes(all), budget.all)
process.exitCode = failed ? 1 : 0
