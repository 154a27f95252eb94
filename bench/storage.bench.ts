/** The embedded store and the watch cache alone: durable creates, reload, lists, fan-out, forks. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { realEnv, silentLogger } from '#base'
import { createMemoryStorage, createWatchCache, openSqliteStorage } from '#storage'
import type { Figure } from './run.ts'

const { clock } = realEnv()
const report = (figure: Figure) => console.log(JSON.stringify(figure))
const folder = mkdtempSync(join(tmpdir(), 'navarch-bench-'))
const path = join(folder, 'store.db')
const origin = { actor: 'bench', time: 0 }
const value = Buffer.from(
  JSON.stringify({ metadata: { name: 'pod', labels: { app: 'web' } }, spec: 'x'.repeat(2300) }),
)
const timed = async (run: () => unknown): Promise<number> => {
  const start = clock.monotonic()
  await run()
  return clock.monotonic() - start
}
const keyOf = (group: string | number, n: number) => `/registry/pods/bench-${group}/pod-${n}`

const storage = openSqliteStorage({ path, clock, log: silentLogger })
for (const [writers, count] of [
  [1, 3000],
  [64, 50_000],
  [256, 50_000],
] as const) {
  let next = 0
  const latencies: number[] = []
  const ms = await timed(() =>
    Promise.all(
      Array.from({ length: writers }, async () => {
        while (next < count) {
          const key = keyOf(writers, next++)
          latencies.push(await timed(() => storage.create(key, value, origin)))
        }
      }),
    ),
  )
  latencies.sort((a, b) => a - b)
  report({ name: `durable creates, ${writers} writers`, value: (count / ms) * 1000, unit: '/s' })
  report({
    name: `durable create p99, ${writers} writers`,
    value: latencies[Math.floor(latencies.length * 0.99)] ?? 0,
    unit: 'ms',
  })
}

const populate = () => createWatchCache({ storage, prefix: '/registry/pods/', clock })
const startedCache = clock.monotonic()
const cache = await populate()
report({
  name: 'watch cache over 103,000 pods',
  value: clock.monotonic() - startedCache,
  unit: 'ms',
})
const list = (limit: number) => timed(() => cache.list(undefined, { limit }).entries.length)
await list(10_000)
report({ name: 'list of 10,000 entries', value: await list(10_000), unit: 'ms' })
const entries = cache.list(undefined, { limit: 10_000 }).entries
report({
  name: 'bytes of 10,000 entries copied',
  value: await timed(() => Buffer.concat(entries.map(({ bytes }) => bytes)).length),
  unit: 'ms',
})
report({
  name: 'objects of 10,000 entries parsed',
  value: await timed(() =>
    entries.reduce((sum, { object }) => sum + Object.keys(object).length, 0),
  ),
  unit: 'ms',
})

const ending = new AbortController()
let delivered = 0
const watchers = Array.from({ length: 1000 }, async () => {
  for await (const batch of cache.watch({ from: cache.revision, signal: ending.signal })) {
    for (const { event } of batch) event.memo('json', () => Buffer.from(event.entry.bytes))
    delivered += batch.length
    if (delivered === 100_000) ending.abort()
  }
})
report({
  name: 'one event to each of 1,000 watchers',
  value:
    (await timed(async () => {
      for (let n = 0; n < 100; n++) await storage.create(keyOf('watched', n), value, origin)
      await Promise.all(watchers)
    })) / 100,
  unit: 'ms',
  budget: { atMost: 10 },
})
await storage.close()

const startedReload = clock.monotonic()
const again = openSqliteStorage({ path, clock, log: silentLogger })
report({ name: 'reload of 103,000 pods', value: clock.monotonic() - startedReload, unit: 'ms' })
await again.close()
rmSync(folder, { recursive: true, force: true })

const memory = createMemoryStorage({ clock })
for (let n = 0; n < 10_000; n++) await memory.create(keyOf('fork', n), value, origin)
report({
  name: 'fork of a 10,000-object store',
  value: await timed(() => memory.fork()),
  unit: 'ms',
  budget: { atMost: 10 },
})
