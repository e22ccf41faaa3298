// Makes src/api/generated from ../assets/openapi.json. With --check: fails if it is not current.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const checkedIn = 'src/api/generated'

/** The description says that all money is one unit; TypeScript needs a brand to hold code to that. */
function brandMoney(folder) {
  const file = join(folder, 'types.gen.ts')
  const source = readFileSync(file, 'utf8')
  const branded = source.replace('export type Usd = number;', "export type Usd = number & { readonly unit: 'USD' };")
  if (branded === source) throw new Error('the API has no type `Usd` any more: change scripts/api.js')
  writeFileSync(file, branded)
}

function files(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort()
}

// Beside the real one, since the client imports `../client`.
const out = mkdtempSync('src/api/generated-')
try {
  execFileSync(process.execPath, ['node_modules/@hey-api/openapi-ts/bin/run.js'], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, CRS_API_OUT: out },
  })
  brandMoney(out)
  if (process.argv.includes('--check')) {
    const same =
      files(out).join() === files(checkedIn).join() &&
      files(out).every((name) => readFileSync(join(out, name)).equals(readFileSync(join(checkedIn, name))))
    if (!same) {
      console.error(`${checkedIn} is not what ../assets/openapi.json gives. Run: npm run api`)
      process.exitCode = 1
    }
  } else {
    rmSync(checkedIn, { recursive: true, force: true })
    renameSync(out, checkedIn)
  }
} finally {
  rmSync(out, { recursive: true, force: true })
}
