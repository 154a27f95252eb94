/** What a request costs in the API server: creates, gets, lists and watches, without a network in between unless said. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { definitions, typeTable } from '#api'
import { createApiServer, type Exchange } from '#apiserver'
import { realEnv } from '#base'
import { createMemoryStorage, openSqliteStorage, type Storage } from '#storage'
import { podOf } from './pods.ts'
import type { Figure } from './run.ts'

const env = realEnv()
const USER = { name: 'bench', groups: ['system:masters'] }
const report = (figure: Figure): void => console.log(JSON.stringify(figure))

const make = async (storage: Storage) => {
  const server = createApiServer({
    env,
    definitions,
    types: typeTable,
    storage,
    extend: () => ({
      authenticator: { authenticate: async () => ({ user: USER }) },
      authorizer: { authorize: async () => ({ verdict: 'allow', reason: '' }) },
      admission: [],
    }),
  })
  await server.ready
  return server
}

const silent = new AbortController().signal
const exchange = (method: string, path: string, body?: Uint8Array): Exchange => {
  const [plain = '', query = ''] = path.split('?')
  return {
    method,
    path: plain,
    query: new URLSearchParams(query),
    headers: {
      'content-type': 'application/json',
      accept: 'application/json',
      'user-agent': 'bench/1.0',
    },
    body: async () => body ?? new Uint8Array(),
    remoteAddress: '127.0.0.1',
    signal: silent,
    id: 'bench',
    warnings: [],
  }
}

const cpuMicros = async (run: () => Promise<void>): Promise<number> => {
  const before = process.cpuUsage()
  await run()
  const { user, system } = process.cpuUsage(before)
  return user + system
}

const PODS = '/api/v1/namespaces/shop/pods'
const CLIENTS = 64

async function creates(
  name: string,
  storage: Storage,
  count: number,
  budget?: number,
): Promise<void> {
  const server = await make(storage)
  let next = 0
  const client = async (until: number): Promise<void> => {
    while (next < until) {
      const body = Buffer.from(JSON.stringify(podOf(`web-${next++}`)))
      const reply = await server.handler(exchange('POST', PODS, body))
      if (reply.status !== 201) throw new Error(`create answered ${reply.status}`)
    }
  }
  const many = (until: number) => Promise.all(Array.from({ length: CLIENTS }, () => client(until)))
  await many(count / 4)
  const started = performance.now()
  const cpu = await cpuMicros(async () => void (await many(next + count)))
  const seconds = (performance.now() - started) / 1000
  report({
    name: `create a pod, ${name}: CPU`,
    value: cpu / count,
    unit: 'µs',
    ...(budget === undefined ? {} : { budget: { atMost: budget } }),
  })
  report({
    name: `create pods, ${name}, ${CLIENTS} clients`,
    value: count / seconds,
    unit: 'a second',
    budget: { atLeast: 5000 },
  })
  await server.close()
}

await creates('memory store', createMemoryStorage(env), 8000, 110)
const folder = mkdtempSync(join(tmpdir(), 'navarch-bench-'))
const sqlite = openSqliteStorage({ clock: env.clock, log: env.log, path: join(folder, 'store.db') })
await creates('durable', sqlite, 8000, 110)
await sqlite.close()
rmSync(folder, { recursive: true })

const server = await make(createMemoryStorage(env))
const inside = server.transport(USER)
const COUNT = 10_000
const inCpu = await cpuMicros(async () => {
  for (let i = 0; i < COUNT; i++)
    await inside.request({ method: 'POST', path: PODS, body: podOf(`web-${i}`) })
})
report({ name: 'create a pod in the same process: CPU', value: inCpu / COUNT, unit: 'µs' })

const gets = await cpuMicros(async () => {
  for (let i = 0; i < COUNT; i++) await server.handler(exchange('GET', `${PODS}/web-${i}`))
})
report({ name: 'get a pod: CPU', value: gets / COUNT, unit: 'µs' })
const insideGets = await cpuMicros(async () => {
  for (let i = 0; i < COUNT; i++) await inside.request({ method: 'GET', path: `${PODS}/web-${i}` })
})
report({ name: 'get a pod in the same process: CPU', value: insideGets / COUNT, unit: 'µs' })

const patch = Buffer.from(JSON.stringify({ metadata: { labels: { changed: 'x' } } }))
const patches = await cpuMicros(async () => {
  for (let i = 0; i < COUNT / 4; i++) {
    const base = exchange('PATCH', `${PODS}/web-${i}`, patch)
    const reply = await server.handler({
      ...base,
      headers: { ...base.headers, 'content-type': 'application/strategic-merge-patch+json' },
    })
    if (reply.status !== 200) throw new Error(`patch answered ${reply.status}`)
  }
})
report({ name: 'patch a pod: CPU', value: patches / (COUNT / 4), unit: 'µs' })

async function list(
  path: string,
  accept: string,
): Promise<{ ms: number; bytes: number; stall: number }> {
  let bytes = 0
  let stall = 0
  let last = performance.now()
  let running = true
  const tick = (): void => {
    const now = performance.now()
    stall = Math.max(stall, now - last)
    last = now
    if (running) setImmediate(tick)
  }
  setImmediate(tick)
  const started = performance.now()
  const base = exchange('GET', path)
  const { body } = await server.handler({ ...base, headers: { ...base.headers, accept } })
  if (body instanceof Uint8Array) bytes = body.length
  else if (body !== undefined) for await (const chunk of body) bytes += chunk.length
  const ms = performance.now() - started
  running = false
  return { ms, bytes, stall }
}
for (const [name, path, accept] of [
  ['in JSON', PODS, 'application/json'],
  ['in protobuf', PODS, 'application/vnd.kubernetes.protobuf'],
  ['as a table', PODS, 'application/json;as=Table;v=v1;g=meta.k8s.io'],
  ['of a label in JSON', `${PODS}?labelSelector=app%3Dweb`, 'application/json'],
] as const) {
  for (const time of ['first', 'again']) {
    const { ms, stall } = await list(path, accept)
    const about = `list 10,000 pods ${name}, ${time}`
    report({
      name: about,
      value: ms,
      unit: 'ms',
      ...(time === 'again' ? { budget: { atMost: 200 } } : {}),
    })
    report({ name: `${about}: longest stall`, value: stall, unit: 'ms', budget: { atMost: 50 } })
  }
}

const WATCHERS = 1000
const EVENTS = 200
const ending = new AbortController()
let seen = 0
const arrived: Promise<void>[] = []
for (let i = 0; i < WATCHERS; i++) {
  const { body } = await server.handler({
    ...exchange('GET', `${PODS}?watch=true&resourceVersion=${server.inside.read.revision()}`),
    signal: ending.signal,
  })
  arrived.push(
    (async () => {
      for await (const chunk of body as AsyncIterable<Uint8Array>) seen += chunk.length > 0 ? 1 : 0
    })(),
  )
}
const watchCpu = await cpuMicros(async () => {
  for (let i = 0; i < EVENTS; i++) {
    await inside.request({
      method: 'PATCH',
      path: `${PODS}/web-${i}`,
      contentType: 'application/merge-patch+json',
      body: { metadata: { labels: { seen: String(i) } } },
    })
    const wanted = (i + 1) * WATCHERS
    while (seen < wanted) await new Promise((resolve) => setImmediate(resolve))
  }
})
report({
  name: 'one change to 1,000 watchers: CPU each',
  value: watchCpu / EVENTS / WATCHERS,
  unit: 'µs',
})
ending.abort()
await Promise.all(arrived)
await server.close()
