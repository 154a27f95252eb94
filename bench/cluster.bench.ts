/** The whole program on this machine: how soon it is there, how soon a pod runs, and what it costs when nothing happens. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pods, type Pod } from '#api'
import type { Client } from '#client'
import type { Draft } from '#machinery'
import {
  cpuSeconds,
  makePlace,
  quantile,
  report,
  residentMegabytes,
  writtenBytes,
  type Place,
} from './tools.ts'

const API_MS = 1000
const NODE_MS = 2000
const DEMO_MS = 5000
/** Events of the start are saved within a minute; then there is nothing left to write. */
const SETTLE_MS = 75_000
const IDLE_MS = 60_000

const FLAGS = ['--node-name=node-1', '--no-kubeconfig']

const ms = (name: string, value: number, atMost?: number): void =>
  report({ name, value, unit: 'ms', ...(atMost === undefined ? {} : { budget: { atMost } }) })

/** API and node, from the program's start. A node that was Ready before is asked for by `up` instead, which waits for its kubelet. */
async function start(place: Place, which: string): Promise<void> {
  const served = place.start()
  ms(`${which}: API ready`, await served.apiReady, API_MS)
  ms(`${which}: node Ready`, await served.nodeReady(), NODE_MS)
  await served.stop()
}

async function starts(): Promise<void> {
  const cache = mkdtempSync(join(tmpdir(), 'navarch-bench-cache-'))
  const first = await makePlace({ NODE_COMPILE_CACHE: cache })
  try {
    await start(first, 'first start of this machine (nothing compiled)')
  } finally {
    await first.leave()
    rmSync(cache, { recursive: true, force: true })
  }
  const place = await makePlace()
  try {
    await start(place, 'start with an empty folder')
    const second = place.start()
    ms('second start: API ready', await second.apiReady, API_MS)
    await second.nodeReady()
    await second.stop()
    const up = await place.run('up', ...FLAGS, `--port=${place.port}`)
    ms('second start: navarch up has returned, node Ready', up.ms, NODE_MS)
  } finally {
    await place.leave()
  }
}

async function demo(): Promise<void> {
  const place = await makePlace()
  const port = `--port=${place.port}`
  const answering = async (which: string): Promise<void> => {
    const { ms: took, lines } = await place.run('demo', ...FLAGS, port)
    const answers = lines.find(({ text }) => text.includes('different replicas'))
    ms(`${which}: demo answering`, answers?.ms ?? took, DEMO_MS)
  }
  try {
    await answering('empty folder')
    const up = await place.run('up', ...FLAGS, port)
    ms('navarch up, running already', up.ms)
    const status = await place.run('status')
    ms('navarch status', status.ms)
    await place.run('down')
    const again = await place.run('up', ...FLAGS, port)
    ms('navarch up, second start with the demo in it', again.ms, NODE_MS)
    await answering('after that')
  } finally {
    await place.leave()
  }
}

const IMAGE = 'navarch.local/bench:1'
const pod = (name: string): Draft<Pod> => ({
  metadata: { name, namespace: 'default', labels: { bench: 'latency' } },
  spec: { containers: [{ name: 'web', image: IMAGE }], terminationGracePeriodSeconds: 0 },
})

/** From the request until this client sees Running. */
async function runningAfter(client: Client, names: readonly string[]): Promise<number[]> {
  const stop = new AbortController()
  const begun = new Map<string, number>()
  const took: number[] = []
  const { resourceVersion } = await client.list(pods, { namespace: 'default', limit: 1 })
  const events = await client.watch(pods, {
    namespace: 'default',
    resourceVersion,
    signal: stop.signal,
  })
  const seen = (async () => {
    try {
      for await (const batch of events) {
        for (const { object } of batch) {
          const since = begun.get(object.metadata?.name ?? '')
          if (since === undefined || (object as Pod).status?.phase !== 'Running') continue
          begun.delete(object.metadata?.name ?? '')
          took.push(performance.now() - since)
          if (took.length === names.length) return
        }
      }
    } finally {
      stop.abort()
    }
  })()
  await Promise.all(
    names.map((name) => {
      begun.set(name, performance.now())
      return client.create(pods, pod(name))
    }),
  )
  await Promise.race([seen, sleep(60_000).then(() => Promise.reject(new Error('never Running')))])
  return took
}

async function latency(client: Client): Promise<void> {
  await runningAfter(client, ['warm-up'])
  const single: number[] = []
  for (let i = 0; i < 30; i++) single.push(...(await runningAfter(client, [`one-${i}`])))
  ms('API to Running, 30 pods one by one: p50', quantile(single, 0.5), 400)
  ms('API to Running, 30 pods one by one: p90', quantile(single, 0.9))
  const many = await runningAfter(
    client,
    Array.from({ length: 10 }, (_, i) => `ten-${i}`),
  )
  ms('API to Running, 10 pods at once: p50', quantile(many, 0.5))
  ms('API to Running, 10 pods at once: last', Math.max(...many))
  await client.deleteCollection(pods, { namespace: 'default', gracePeriodSeconds: 0 })
  while ((await client.list(pods, { namespace: 'default' })).items.length > 0) await sleep(100)
}

async function idle(pid: number, which: string, isBudget: boolean): Promise<void> {
  await sleep(SETTLE_MS)
  const [cpu, written, began] = [cpuSeconds(pid), writtenBytes(pid), performance.now()]
  await sleep(IDLE_MS)
  const seconds = (performance.now() - began) / 1000
  report({
    name: `idle, ${which}: CPU over a minute`,
    value: ((cpuSeconds(pid) - cpu) / seconds) * 100,
    unit: '% of a core',
    ...(isBudget ? { budget: { atMost: 1 } } : {}),
  })
  report({
    name: `idle, ${which}: written to disk in a minute`,
    value: writtenBytes(pid) - written,
    unit: 'bytes',
    ...(isBudget ? { budget: { atMost: 0 } } : {}),
  })
}

async function living(): Promise<void> {
  const place = await makePlace()
  try {
    const served = place.start()
    await served.nodeReady()
    await idle(served.pid, 'one node', true)
    const memory = residentMegabytes(served.pid)
    report({
      name: 'control plane and node, idle: resident',
      value: memory,
      unit: 'MB',
      budget: { atMost: 200 },
    })
    await place.run('image', 'build', '--demo', `--tag=${IMAGE}`)
    const client = await served.client()
    await latency(client)
    report({
      name: 'the same after 41 pods came and went',
      value: residentMegabytes(served.pid),
      unit: 'MB',
      budget: { atMost: 200 },
    })
    await Promise.all([0, 1, 2].map((i) => client.create(pods, pod(`still-${i}`))))
    await idle(served.pid, 'three pods running', true)
    client.close()
    await served.stop()
  } finally {
    await place.leave()
  }
}

await starts()
await demo()
await living()
