/** `node scripts/test.ts unit|e2e [name…]`: finds the test files and runs them in one process (unit) or one after the other (e2e). */
import { spawnSync } from 'node:child_process'
import { globSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const [suite = 'unit', ...names] = process.argv.slice(2)
const patterns =
  suite === 'unit'
    ? ['src/**/*.test.ts', 'scripts/**/*.test.ts', 'test/unit/**/*.test.ts']
    : ['src/**/*.e2e.ts', 'test/e2e/**/*.e2e.ts']
const files = patterns
  .flatMap((pattern) => globSync(pattern, { cwd: root }))
  .filter((file) => names.length === 0 || names.some((name) => file.includes(name)))
  .toSorted()
if (files.length === 0) {
  console.error(`No ${suite} test matches ${names.join(' ')}`)
  process.exit(1)
}
const mode =
  suite === 'unit' ? ['--test-isolation=none'] : ['--test-concurrency=1', '--test-timeout=600000']
const { status } = spawnSync(
  process.execPath,
  ['--test', ...mode, '--test-reporter=spec', ...files],
  {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, NODE_EXTRA_CA_CERTS: '' },
  },
)
process.exit(status ?? 1)
