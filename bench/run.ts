/** `npm run bench [name…]`: measures what the budgets name, prints figures and writes JSON. */
import { spawnSync } from 'node:child_process'
import { globSync, mkdirSync, writeFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export interface Figure {
  readonly name: string
  readonly value: number
  readonly unit: string
  /** The budget: at most, or at least, this. */
  readonly budget?: { readonly atMost: number } | { readonly atLeast: number }
}

const here = fileURLToPath(new URL('.', import.meta.url))
const wanted = process.argv.slice(2)
const files = globSync('*.bench.ts', { cwd: here })
  .filter((file) => wanted.length === 0 || wanted.some((name) => file.includes(name)))
  .toSorted()
const all: (Figure & { readonly bench: string })[] = []
for (const file of files) {
  const run = spawnSync(process.execPath, ['--expose-gc', join(here, file)], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, NODE_EXTRA_CA_CERTS: '' },
  })
  const lines = run.stdout.split('\n').filter((line) => line.startsWith('{'))
  if (run.status !== 0) console.log(`${file}: ended with ${run.status}`)
  for (const line of lines) {
    const figure = JSON.parse(line) as Figure
    all.push({ ...figure, bench: basename(file, '.bench.ts') })
    console.log(format(figure))
  }
}
mkdirSync(join(here, 'results'), { recursive: true })
const machine = {
  cores: cpus().length,
  model: cpus()[0]?.model,
  memoryBytes: totalmem(),
  node: process.version,
}
const file = join(here, 'results', `${new Date().toISOString().replaceAll(/[:.]/g, '-')}.json`)
writeFileSync(file, `${JSON.stringify({ machine, figures: all }, null, 1)}\n`)
console.log(`\nWritten to ${file}`)

function format({ name, value, unit, budget }: Figure): string {
  const shown = `${value >= 100 ? Math.round(value) : Math.round(value * 100) / 100} ${unit}`
  if (budget === undefined) return `      ${name.padEnd(56)} ${shown}`
  const kept = 'atMost' in budget ? value <= budget.atMost : value >= budget.atLeast
  const limit = 'atMost' in budget ? `≤ ${budget.atMost}` : `≥ ${budget.atLeast}`
  return `${kept ? 'kept  ' : 'MISSED'}${name.padEnd(56)} ${shown.padEnd(14)} (${limit})`
}
