/** The API as its clients have it: over TLS, authenticated, authorized, admitted, durable; the server is a process of its own. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseKubeconfig, type Connection } from '#client'
import { rawConnection, type RawConnection } from './raw-client.ts'
import { cpuSeconds, makePlace, quantile, report, type Served } from './tools.ts'
import { pod } from './pods.ts'

/** `BENCH_ONLY=creates,lists`: a part of it. */
const only = process.env['BENCH_ONLY']?.split(',')
const isWanted = (part: string): boolean => only === undefined || only.includes(part)

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
): Promise<void> {
  const open = await connections(connection, clients)
  const latencies: number[] = []
  let next = 0
  const client = async (each: RawConnection, until: number, name: string): Promise<void> => {
    while (next < until) {
      const answer = await each.request('POST', FOLDER, { body: pod(`${name}-${next++}`) })
      if (answer.status !== 201) throw new Error(`create answered ${answer.status}`)
      latencies.push(answer.ms)
    }
  }
  const all = (name: string, until: number): Promise<unknown> =>
    Promise.all(open.map((each) => client(each, until, name)))
  await all(`warm-${clients}`, count / 4)
  latencies.length = 0
  next = 0
  const cpu = cpuSeconds(served.pid)
  const own = process.cpuUsage()
  const started = performance.now()
  await all(`web-${clients}`, count)
  const seconds = (performance.now() - started) / 1000
  const { user, system } = process.cpuUsage(own)
  for (const each of open) each.close()
  const name = `create a pod (durable, HTTPS), ${clients} clients`
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
  report({ name: `${name}: CPU of the client each`, value: (user + system) / count, unit: 'µs' })
  report({ name: `${name}: p50`, value: quantile(latencies, 0.5), unit: 'ms' })
  report({ name: `${name}: p99`, value: quantile(latencies, 0.99), unit: 'ms' })
}

const place = await makePlace()
try {
  const served = place.start(['server'])
  await served.apiReady
  const client = await served.client()
  client.close()
  const connection = parseKubeconfig(readFileSync(join(place.dataDir, 'kubeconfig'), 'utf8'))
  const first = await rawConnection(connection)
  await first.request('POST', '/api/v1/namespaces', {
    body: JSON.stringify({ metadata: { name: 'bench' } }),
  })
  await first.request('POST', '/api/v1/namespaces/bench/serviceaccounts', {
    body: JSON.stringify({ metadata: { name: 'default' } }),
  })
  if (isWanted('creates')) {
    await creates(served, connection, 1, 2000)
    await creates(served, connection, 64, 20_000, 5000)
    await creates(served, connection, 256, 20_000)
  } else if (isWanted('c64')) await creates(served, connection, 64, 20_000, 5000)
  await served.stop()
} finally {
  await place.leave()
}
