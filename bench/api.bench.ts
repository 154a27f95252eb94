/** The API as its clients have it: over TLS, authenticated, authorized, admitted, durable; the server is a process of its own. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseKubeconfig, type Connection } from '#client'
import { pod, podMessage } from './pods.ts'
import { rawConnection, type RawAnswer, type RawConnection, type RawOptions } from './raw-client.ts'
import { rawWatchers } from './raw-watchers.ts'
import {
  cpuSeconds,
  makePlace,
  mostResidentMegabytes,
  quantile,
  report,
  residentMegabytes,
  type Served,
} from './tools.ts'

/** `BENCH_ONLY=creates,lists`: a part of it. */
const only = process.env['BENCH_ONLY']?.split(',')
const isWanted = (part: string): boolean => only === undefined || only.includes(part)

const PROTOBUF = 'application/vnd.kubernetes.protobuf'
const FOLDER = '/api/v1/namespaces/bench/pods'

async function connections(connection: Connection, count: number): Promise<RawConnection[]> {
  return Promise.all(Array.from({ length: count }, () => rawConnection(connection)))
}

async function creates(
  served: Served,
  connection: Connection,
  clients: number,
  count: number,
  atLeast?: number,
  { isMessage = false } = {},
): Promise<void> {
  const open = await connections(connection, clients)
  const latencies: number[] = []
  let next = 0
  /** Made before the clock starts: the client shares the machine. */
  const messages = new Map<string, Uint8Array>()
  const requestFor = (own: string): RawOptions =>
    isMessage
      ? { body: messages.get(own) ?? podMessage(own), contentType: PROTOBUF, accept: PROTOBUF }
      : { body: pod(own) }
  const client = async (each: RawConnection, until: number, name: string): Promise<void> => {
    while (next < until) {
      const answer = await each.request('POST', FOLDER, requestFor(`${name}-${next++}`))
      if (answer.status !== 201) throw new Error(`create answered ${answer.status}`)
      latencies.push(answer.ms)
    }
  }
  const all = (name: string, until: number): Promise<unknown> =>
    Promise.all(open.map((each) => client(each, until, name)))
  // Until the engine has compiled what is hot.
  const what = isMessage ? 'message' : 'web'
  await all(`warm-${what}-${clients}`, count)
  latencies.length = 0
  next = 0
  if (isMessage)
    for (let i = 0; i < count; i++) {
      const own = `${what}-${clients}-${i}`
      messages.set(own, podMessage(own))
    }
  const cpu = cpuSeconds(served.pid)
  const main = cpuSeconds(served.pid, { mainThread: true })
  const own = process.cpuUsage()
  const started = performance.now()
  await all(`${what}-${clients}`, count)
  const seconds = (performance.now() - started) / 1000
  const { user, system } = process.cpuUsage(own)
  for (const each of open) each.close()
  const how = isMessage ? 'durable, HTTPS, protobuf' : 'durable, HTTPS'
  const name = `create a pod (${how}), ${clients} clients`
  report({
    name: `${name}: rate`,
    value: count / seconds,
    unit: 'a second',
    ...(atLeast === undefined ? {} : { budget: { atLeast } }),
  })
  report({
    name: `${name}: CPU of the server each`,
    value: ((cpuSeconds(served.pid) - cpu) * 1e6) / count,
    unit: 'µs',
  })
  report({
    name: `${name}: CPU of the server's main thread each`,
    value: ((cpuSeconds(served.pid, { mainThread: true }) - main) * 1e6) / count,
    unit: 'µs',
  })
  report({ name: `${name}: CPU of the client each`, value: (user + system) / count, unit: 'µs' })
  report({ name: `${name}: p50`, value: quantile(latencies, 0.5), unit: 'ms' })
  report({ name: `${name}: p99`, value: quantile(latencies, 0.99), unit: 'ms' })
}

const quantiles = (name: string, values: readonly number[], p99?: number): void => {
  report({ name: `${name}: p50`, value: quantile(values, 0.5), unit: 'ms' })
  report({
    name: `${name}: p99`,
    value: quantile(values, 0.99),
    unit: 'ms',
    ...(p99 === undefined ? {} : { budget: { atMost: p99 } }),
  })
}

/** Pods up to a number of them, by 64 clients. */
async function fill(connection: Connection, from: number, until: number): Promise<void> {
  const open = await connections(connection, 64)
  let next = from
  await Promise.all(
    open.map(async (each) => {
      while (next < until) {
        const { status } = await each.request('POST', FOLDER, { body: pod(`pod-${next++}`) })
        if (status !== 201) throw new Error(`create answered ${status}`)
      }
    }),
  )
  for (const each of open) each.close()
}

const CHANGES_A_SECOND = 20
const merge = (value: number): RawOptions => ({
  body: JSON.stringify({ metadata: { annotations: { changed: String(value) } } }),
  contentType: 'application/merge-patch+json',
})

/** Single calls one after another, while others change objects and a watcher sees them. */
async function calls(connection: Connection, count: number): Promise<void> {
  const [caller, changer, watcher] = [
    await rawConnection(connection),
    await rawConnection(connection),
    await rawConnection(connection),
  ]
  const sent = new Map<string, number>()
  const seen: number[] = []
  watcher.stream(`${FOLDER}?watch=true&resourceVersion=0&labelSelector=seen`, (bytes) => {
    const now = performance.now()
    for (const [, tag = ''] of bytes.toString('latin1').matchAll(/"seen":"(\d+)"/g)) {
      const at = sent.get(tag)
      if (at !== undefined) seen.push(now - at)
      sent.delete(tag)
    }
  })
  let changes = 0
  let busy = false
  const changing = setInterval(() => {
    if (busy) return
    busy = true
    const tag = String(changes++)
    sent.set(tag, performance.now())
    const body = JSON.stringify({ metadata: { labels: { seen: tag } } })
    const contentType = 'application/merge-patch+json'
    void changer
      .request('PATCH', `${FOLDER}/pod-${changes % 1000}`, { body, contentType })
      .finally(() => (busy = false))
  }, 1000 / CHANGES_A_SECOND)
  const measure = async (
    name: string,
    times: number,
    call: (i: number) => Promise<RawAnswer>,
    p99?: number,
  ): Promise<void> => {
    const taken: number[] = []
    for (let i = 0; i < times; i++) {
      const { status, ms } = await call(i)
      if (status >= 300) throw new Error(`${name} answered ${status}`)
      if (i >= times / 10) taken.push(ms)
    }
    quantiles(
      `${name}, ${count.toLocaleString('en')} pods and ${CHANGES_A_SECOND} changes a second`,
      taken,
      p99,
    )
  }
  const at = (i: number): string => `${FOLDER}/pod-${(i * 7919) % count}`
  const apply = (i: number): RawOptions => ({
    body: JSON.stringify({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: `pod-${(i * 7919) % count}`, annotations: { applied: String(i) } },
    }),
    contentType: 'application/apply-patch+yaml',
  })
  await measure('get a pod', 2000, (i) => caller.request('GET', at(i)), 20)
  await measure('patch a pod', 1000, (i) => caller.request('PATCH', at(i), merge(i)), 20)
  await measure(
    'apply a pod',
    1000,
    (i) => caller.request('PATCH', `${at(i)}?fieldManager=bench`, apply(i)),
    20,
  )
  await measure(
    'create a pod',
    1000,
    (i) => caller.request('POST', FOLDER, { body: pod(`one-${count}-${i}`) }),
    20,
  )
  await measure('list 500 pods', 200, () => caller.request('GET', `${FOLDER}?limit=500`))
  clearInterval(changing)
  // The first ones wait for the state that the watch begins with.
  quantiles('a change seen by a watcher, from its request', seen.slice(20), 20)
  for (const each of [caller, changer, watcher]) each.close()
}

/** Lists over the wire, and how long somebody else waits meanwhile. */
async function lists(
  served: Served,
  connection: Connection,
  count: number,
  atMost?: number,
): Promise<void> {
  const [lister, other] = [await rawConnection(connection), await rawConnection(connection)]
  for (const [name, query, accept] of [
    ['JSON', '', 'application/json'],
    ['protobuf', '', 'application/vnd.kubernetes.protobuf'],
    ['a table', '', 'application/json;as=Table;v=v1;g=meta.k8s.io'],
    ['JSON of a label', '&labelSelector=app%3Dweb', 'application/json'],
  ] as const) {
    const taken: number[] = []
    const waits: number[] = []
    const cpu = cpuSeconds(served.pid)
    for (let i = 0; i < 5; i++) {
      let running = true
      const asking = (async () => {
        while (running) waits.push((await other.request('GET', `${FOLDER}/pod-${i}`)).ms)
      })()
      const { status, ms } = await lister.request(
        'GET',
        `${FOLDER}?resourceVersion=0&limit=${count}${query}`,
        { accept },
      )
      if (status !== 200) throw new Error(`list answered ${status}`)
      running = false
      await asking
      taken.push(ms)
    }
    const about = `list ${count.toLocaleString('en')} pods over HTTPS as ${name}`
    report({ name: `${about}: first`, value: taken[0] ?? 0, unit: 'ms' })
    report({
      name: `${about}: slowest of the next four`,
      value: Math.max(...taken.slice(1)),
      unit: 'ms',
      ...(atMost === undefined ? {} : { budget: { atMost } }),
    })
    report({
      name: `${about}: CPU of the server each`,
      value: ((cpuSeconds(served.pid) - cpu) * 1000) / 5,
      unit: 'ms',
    })
    report({
      name: `${about}: longest wait of another request`,
      value: Math.max(...waits),
      unit: 'ms',
      budget: { atMost: 50 },
    })
  }
  lister.close()
  other.close()
}

const AT_ONCE = 8

/** Several long lists at once, for what they make the server hold. */
async function manyLists(served: Served, connection: Connection): Promise<void> {
  const open = await connections(connection, AT_ONCE)
  const accept = 'application/vnd.kubernetes.protobuf'
  const started = performance.now()
  const answers = await Promise.all(
    open.map((each) => each.request('GET', `${FOLDER}?resourceVersion=0`, { accept })),
  )
  if (answers.some(({ status }) => status !== 200)) throw new Error('a list failed')
  const about = `${AT_ONCE} lists of 100,000 pods at once in protobuf`
  report({ name: about, value: performance.now() - started, unit: 'ms' })
  report({
    name: `${about}: most resident ever`,
    value: mostResidentMegabytes(served.pid),
    unit: 'MB',
  })
  for (const each of open) each.close()
}

const WATCHERS = 1000
const CONNECTIONS = 10

/** One change after another, each seen by every watcher: HTTP/2, as Go's clients have it. */
async function fanOut(connection: Connection): Promise<void> {
  let left = WATCHERS
  let done: () => void = () => undefined
  // The state comes first.
  const opened = new Promise<void>((resolve) => (done = resolve))
  const path = `${FOLDER}?watch=true&resourceVersion=0&fieldSelector=metadata.name%3Dpod-0`
  const sessions = await Promise.all(
    Array.from({ length: CONNECTIONS }, () =>
      rawWatchers(connection, path, WATCHERS / CONNECTIONS, () => {
        if (--left === 0) done()
      }),
    ),
  )
  await opened
  const changer = await rawConnection(connection)
  const all: number[] = []
  for (let i = 0; i < 200; i++) {
    left = WATCHERS
    const seen = new Promise<void>((resolve) => (done = resolve))
    let committed = Infinity
    const answer = changer.request('PATCH', `${FOLDER}/pod-0`, merge(i)).then((each) => {
      committed = performance.now()
      return each
    })
    await seen
    const last = performance.now()
    const { status } = await answer
    if (status !== 200) throw new Error(`patch answered ${status}`)
    if (i >= 20) all.push(Math.max(0, last - committed))
  }
  quantiles('committed until seen by the last of 1,000 watchers over HTTP/2', all, 10)
  changer.close()
  for (const session of sessions) session.close()
}

const place = await makePlace()
try {
  let served = place.start(['server'])
  await served.apiReady
  const client = await served.client()
  client.close()
  const connection = parseKubeconfig(readFileSync(join(place.dataDir, 'kubeconfig'), 'utf8'))
  const first = await rawConnection(connection)
  for (const [path, name] of [
    ['/api/v1/namespaces', 'bench'],
    ['/api/v1/namespaces/bench/serviceaccounts', 'default'],
  ] as const)
    await first.request('POST', path, { body: JSON.stringify({ metadata: { name } }) })
  first.close()
  if (isWanted('creates') || isWanted('c64') || isWanted('protobuf')) {
    const all = isWanted('creates')
    if (all) await creates(served, connection, 1, 2000)
    if (all || isWanted('c64')) await creates(served, connection, 64, 20_000, 5000)
    if (all || isWanted('protobuf'))
      await creates(served, connection, 64, 20_000, 5000, { isMessage: true })
    if (all) await creates(served, connection, 256, 20_000)
    const remover = await rawConnection(connection)
    await remover.request('DELETE', `${FOLDER}?gracePeriodSeconds=0`)
    remover.close()
  }
  if (only?.includes('fan') === true) {
    await fill(connection, 0, 1)
    await fanOut(connection)
  }
  if (isWanted('reads')) {
    const empty = residentMegabytes(served.pid)
    await fill(connection, 0, 10_000)
    report({
      name: 'resident memory for 10,000 pods more',
      value: residentMegabytes(served.pid) - empty,
      unit: 'MB',
    })
    await lists(served, connection, 10_000, 200)
    await fanOut(connection)
    await fill(connection, 10_000, 30_000)
    await calls(connection, 30_000)
  }
  if (isWanted('many')) {
    await fill(connection, isWanted('reads') ? 30_000 : 0, 100_000)
    await lists(served, connection, 100_000)
    await manyLists(served, connection)
    report({
      name: 'resident memory with 100,000 pods',
      value: residentMegabytes(served.pid),
      unit: 'MB',
    })
    await served.stop()
    served = place.start(['server'])
    report({
      name: 'start with 100,000 pods on disk: API ready',
      value: await served.apiReady,
      unit: 'ms',
    })
  }
  await served.stop()
} finally {
  await place.leave()
}
