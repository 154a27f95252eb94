/** The layer table of ARCHITECTURE.md holds: imports go up it and never down, and only through a folder's door. */
import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))
const architecture = readFileSync(join(root, 'ARCHITECTURE.md'), 'utf8')

/** Rows of the form: | `storage` | what it is | `base`, `machinery` | */
const layers = new Map<string, readonly string[]>(
  [...architecture.matchAll(/^\| `(\w+)` *\|[^|]*\|([^|]*)\|$/gm)].map((row) => [
    row[1] ?? '',
    [...(row[2] ?? '').matchAll(/`(\w+)`/g)].map((name) => name[1] ?? ''),
  ]),
)
/** Files that are adapters of real things: the only ones besides base/ and cli/ that touch the host. */
const adapters = [...architecture.matchAll(/^- `(src\/[^`]+)`/gm)].map((row) => row[1] ?? '')

/** Tests, and what only tests use. */
const isTest = (file: string): boolean =>
  /\.(test|e2e|testing|fixture)\.ts$|\/testing(\/|\.ts$)|fixtures?\.ts$|contract\.ts$/.test(file)

const files = globSync('src/**/*.ts', { cwd: root })
const sources = files.map((file) => ({ file, text: readFileSync(join(root, file), 'utf8') }))
const product = sources.filter(({ file }) => !isTest(file) && !file.endsWith('.gen.ts'))

const importsOf = (text: string): string[] =>
  [...text.matchAll(/^(?:import|export)[^'"\n]*?(?:[^'"]*?from )?['"]([^'"]+)['"]/gm)].map(
    (match) => match[1] ?? '',
  )

test('every folder of src is a row of the table', () => {
  const folders = new Set(files.map((file) => file.split('/')[1]))
  for (const folder of folders)
    assert.ok(layers.has(folder ?? ''), `src/${folder} has no row in ARCHITECTURE.md`)
})

test('a folder imports only what the table allows, and only through its door', () => {
  const wrong = sources.flatMap(({ file, text }) => {
    const own = file.split('/')[1] ?? ''
    return importsOf(text).flatMap((target) => {
      if (target.startsWith('#')) {
        const other = target.slice(1)
        return other === own || layers.get(own)?.includes(other) === true || isTest(file)
          ? []
          : [`${file} imports ${target}`]
      }
      if (!target.startsWith('.')) return []
      const reached = relative(root, join(root, dirname(file), target))
      const inside = reached.startsWith(`src/${own}/`) || reached.startsWith('facts/')
      return inside || isTest(file) ? [] : [`${file} reaches ${target}`]
    })
  })
  assert.deepEqual(wrong, [])
})

test('time, chance and the host come from the Env', () => {
  const host =
    /\bDate\.now\(|\bnew Date\(\)|Math\.random\(|(?<!\.)\bset(Timeout|Interval)\(|\bperformance\.now\(|\brandomUUID\(|\brandomBytes\(|AbortSignal\.timeout\(/
  const modules =
    /from '(?:node:)?(fs|fs\/promises|child_process|net|tls|http|https|http2|dgram|dns|os|worker_threads)'/
  const leaks = product.flatMap(({ file, text }) => {
    if (file.startsWith('src/base/') || file.startsWith('src/cli/')) return []
    const adapter = adapters.some((path) => file.startsWith(path))
    return text.split('\n').flatMap((line, i) => {
      const code = line.replace(/\/\/.*|^\s*\*.*/, '')
      const bad = !adapter && (host.test(code) || (modules.test(code) && !/import type/.test(code)))
      return bad ? [`${file}:${i + 1}: ${line.trim()}`] : []
    })
  })
  assert.deepEqual(leaks, [])
})

test('what is generated is up to date', async () => {
  const { spawnSync } = await import('node:child_process')
  const run = spawnSync(process.execPath, ['scripts/generate.ts', '--check'], {
    cwd: root,
    encoding: 'utf8',
  })
  assert.equal(run.status, 0, run.stderr)
})
