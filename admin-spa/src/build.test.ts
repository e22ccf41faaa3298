// @vitest-environment node
// scripts/build-console: when a source has changed the console that goes into the binary is made anew, and only then.
// With a node that counts instead of building, so that it takes no time and no Rust.
import { spawnSync } from 'node:child_process'
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'

// Each run starts a shell and a few programs: a busy machine takes its time.
vi.setConfig({ testTimeout: 60_000 })

const repository = join(import.meta.dirname, '../..')
let root: string
const at = (path: string) => join(root, path)
function write(path: string, text: string) {
  mkdirSync(dirname(at(path)), { recursive: true })
  writeFileSync(at(path), text)
}

const node = `#!/bin/sh
case "$1" in
  -e) exit 0 ;;
  --run)
    [ -e "$ROOT/broken" ] && exit 1
    echo built >> "$ROOT/builds"
    mkdir -p dist && cat src/App.vue > dist/index.html ;;
  *)
    echo packed >> "$ROOT/packs"
    cd "$ROOT/admin-spa" && mkdir -p embedded site
    cp dist/index.html embedded/index.html.gz && touch site/_headers ;;
esac
`

function packages(folder: string) {
  write(`${folder}/node_modules/.package-lock.json`, '{}')
  write(`${folder}/node_modules/.bin/vite`, '')
  chmodSync(at(`${folder}/node_modules/.bin/vite`), 0o755)
}
// Counts, and installs as the real one does; with `broken-npm`, nothing but an empty folder.
const npm = `#!/bin/sh
echo fetched >> "$ROOT/fetches"
mkdir -p node_modules/.bin
[ -e "$ROOT/broken-npm" ] && exit 0
echo '{}' > node_modules/.package-lock.json
touch node_modules/.bin/vite && chmod +x node_modules/.bin/vite
`

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'crs-build-'))
  cpSync(join(repository, 'scripts/build-console'), at('scripts/build-console'))
  cpSync(join(repository, 'scripts/lib'), at('scripts/lib'), { recursive: true })
  mkdirSync(at('bin'))
  writeFileSync(at('bin/node'), node, { mode: 0o755 })
  writeFileSync(at('bin/npm'), npm, { mode: 0o755 })
  // A folder that is no link is a developer's own, and nothing is installed.
  packages('admin-spa')
  for (const file of ['package.json', 'package-lock.json', 'src/locales/en/common.json']) write(`admin-spa/${file}`, '{}')
  write('admin-spa/src/App.vue', 'first')
  write('assets/openapi.json', '{}')
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

function run(...args: string[]) {
  const env = { PATH: `${at('bin')}:${process.env.PATH}`, HOME: root, ROOT: root }
  return spawnSync('bash', [at('scripts/build-console'), ...args], { env, encoding: 'utf8' })
}
const builds = () => (existsSync(at('builds')) ? readFileSync(at('builds'), 'utf8').trim().split('\n').length : 0)
function built(...args: string[]) {
  const before = builds()
  const { status, stderr } = run(...args)
  expect(status, stderr).toBe(0)
  return builds() - before
}
const embedded = () => readFileSync(at('admin-spa/embedded/index.html.gz'), 'utf8')

test('a changed page is built and packed, and what has not changed is not', () => {
  expect(built()).toBe(1)
  expect(embedded()).toBe('first')
  expect(built()).toBe(0)
  expect(built('--optional')).toBe(0)
  // A checkout gives files new times.
  utimesSync(at('admin-spa/src/App.vue'), new Date(), new Date(Date.now() + 60_000))
  expect(built()).toBe(0)
  write('admin-spa/src/App.vue', 'second')
  expect(built('--optional')).toBe(1)
  expect(embedded()).toBe('second')
})

test('every kind of source counts, and tests, pictures and what is made do not', () => {
  expect(built()).toBe(1)
  for (const path of ['src/locales/en/common.json', 'src/pages/keys/New.vue', 'package-lock.json', 'index.html', 'vite.config.ts', 'scripts/pack.mjs']) {
    write(`admin-spa/${path}`, `${path} is other`)
    expect(built(), path).toBe(1)
  }
  write('assets/openapi.json', '{"openapi":"3.1.0"}')
  expect(built(), 'the description of the API').toBe(1)
  renameSync(at('admin-spa/src/pages/keys/New.vue'), at('admin-spa/src/pages/keys/Newer.vue'))
  expect(built(), 'a name').toBe(1)
  rmSync(at('admin-spa/src/pages/keys/Newer.vue'))
  expect(built(), 'a file less').toBe(1)
  for (const path of ['src/lib/time.test.ts', 'e2e/keys.test.ts', 'screenshots/keys.png', 'dist/assets/x.js', 'site/x.js', 'pages/x.js', 'node_modules/x/index.js']) {
    write(`admin-spa/${path}`, 'x')
    expect(built(), path).toBe(0)
  }
})

test('what is missing of the result is made again, without a build that is not needed', () => {
  expect(built()).toBe(1)
  rmSync(at('admin-spa/embedded'), { recursive: true })
  expect(built()).toBe(0)
  expect(embedded()).toBe('first')
  rmSync(at('admin-spa/site'), { recursive: true })
  expect(built()).toBe(0)
  expect(existsSync(at('admin-spa/site/_headers'))).toBe(true)
})

test('a build that fails leaves the old console, is told, and is tried again', () => {
  expect(built()).toBe(1)
  write('admin-spa/src/App.vue', 'second')
  writeFileSync(at('broken'), '')
  expect(run().status).not.toBe(0)
  const optional = run('--optional')
  expect([optional.status, optional.stderr.includes('could not be built')]).toEqual([0, true])
  expect(embedded()).toBe('first')
  rmSync(at('broken'))
  expect(built()).toBe(1)
  expect(embedded()).toBe('second')
})

test('shared packages that were emptied through a link are fetched again', () => {
  rmSync(at('admin-spa/node_modules'), { recursive: true })
  const fetches = () => readFileSync(at('fetches'), 'utf8').trim().split('\n').length
  expect([built(), fetches()]).toEqual([1, 1])
  const shared = realpathSync(at('admin-spa/node_modules'))
  write('admin-spa/src/App.vue', 'second')
  expect([built(), fetches()]).toEqual([1, 1])
  // What `npm ci` in another clone does to the folder that its link leads to.
  rmSync(shared, { recursive: true })
  mkdirSync(shared)
  write('admin-spa/src/App.vue', 'third')
  expect([built(), fetches()]).toEqual([1, 2])
  expect(existsSync(join(shared, '.bin/vite'))).toBe(true)
  // Half an installation is never taken for a whole one.
  rmSync(shared, { recursive: true })
  writeFileSync(at('broken-npm'), '')
  write('admin-spa/src/App.vue', 'fourth')
  expect(run().status).not.toBe(0)
  rmSync(at('broken-npm'))
  expect([built(), fetches()]).toEqual([1, 4])
})

test("a developer's own packages that are not complete are told of", () => {
  rmSync(at('admin-spa/node_modules/.bin/vite'))
  const { status, stderr } = run()
  expect([status, stderr.includes('npm ci')]).toEqual([1, true])
})

test('what makes a binary builds the console before, and cargo looks at what was embedded', () => {
  for (const script of ['crs', 'test', 'build-worker', 'test-console', 'bench']) {
    const text = readFileSync(join(repository, 'scripts', script), 'utf8')
    const [console, cargo] = ['scripts/build-console', /cargo build|builder" --release|cargo nextest/.exec(text)?.[0] ?? ''].map((part) => text.indexOf(part))
    expect(console, script).toBeGreaterThan(0)
    expect(cargo, script).toBeGreaterThan(console!)
  }
  expect(readFileSync(join(repository, 'build.rs'), 'utf8')).toContain('cargo::rerun-if-changed=admin-spa/embedded')
})
