/** A server and an agent whose certificates come of age while they run: real TLS, and a clock that jumps from the past to now. */
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { connect } from 'node:tls'
import { pods } from '#api'
import { realEnv, silentLogger, type Clock, type Env } from '#base'
import { createClient, httpTransport } from '#client'
import { authorityHash, joinNode, serve } from '#cluster'
import { eventually } from '../support/navarch.ts'

const DAY_MS = 24 * 3600 * 1000
/** Certificates of a year are due after 275 days, and TLS still accepts them now. */
const PAST_DAYS = 300
const base = mkdtempSync(join(tmpdir(), 'navarch-renewal-'))
after(() => rmSync(base, { recursive: true, force: true }))

test('server and agent go on with new certificates, and what is under way does not notice', async () => {
  const real = realEnv()
  const { clock, jump } = jumpingClock(real.clock, -PAST_DAYS * DAY_MS)
  const env: Env = { ...real, clock, log: silentLogger }
  const common = {
    runtime: 'simulated',
    registryMirrors: [],
    logLevel: 'error',
  } as const
  const server = await serve(
    {
      ...common,
      dataDir: join(base, 'server'),
      runDir: join(base, 'run-server'),
      host: '127.0.0.1',
      port: 0,
      nodeName: 'server',
      podCidr: '10.244.0.0/16',
      serviceCidr: '10.96.0.0/12',
      clusterDomain: 'cluster.local',
      withNode: false,
    },
    env,
  )
  const file = (...path: readonly string[]): string => readFileSync(join(base, ...path), 'utf8')
  const admin = {
    certificate: file('server', 'pki', 'admin.crt'),
    key: file('server', 'pki', 'admin.key'),
  }
  const authority = file('server', 'pki', 'ca.crt')
  const transport = httpTransport({ server: server.server, authority, ...admin })
  const client = createClient(transport)
  await client.transport.request({
    method: 'POST',
    path: '/api/v1/namespaces/kube-system/secrets',
    body: {
      metadata: { name: 'bootstrap-token-abcdef' },
      type: 'bootstrap.kubernetes.io/token',
      stringData: {
        'token-id': 'abcdef',
        'token-secret': '0123456789abcdef',
        'usage-bootstrap-authentication': 'true',
      },
    },
  })
  const agent = await joinNode(
    {
      ...common,
      dataDir: join(base, 'agent'),
      runDir: join(base, 'run-agent'),
      nodeName: 'joined',
      nodeIp: '127.0.0.1',
      server: server.server,
      token: 'abcdef.0123456789abcdef',
      caHash: authorityHash(authority),
      kubeletPort: 0,
    },
    env,
  )
  await agent.ready
  const apiPort = Number(new URL(server.server).port)
  const kubeletPort = Number(
    /port (\d+)/.exec(
      (await agent.status()).components.find(({ name }) => name === 'kubelet')?.detail ?? '',
    )?.[1],
  )
  const shown = async () => ({
    api: await fingerprint(apiPort),
    kubelet: await fingerprint(kubeletPort),
    client: new X509Certificate(file('agent', 'pki', 'kubelet-client.crt')).fingerprint256,
  })
  const first = await shown()
  assert.equal(
    first.kubelet,
    new X509Certificate(file('agent', 'pki', 'kubelet-server.crt')).fingerprint256,
  )

  // A watch that began under the old certificate.
  const stop = new AbortController()
  const events: string[] = []
  const watching = (async () => {
    for await (const batch of await transport.watch({
      method: 'GET',
      path: '/api/v1/namespaces/default/pods',
      query: { watch: 'true' },
      signal: stop.signal,
    }))
      for (const { type, object } of batch)
        events.push(`${type} ${(object as { metadata: { name: string } }).metadata.name}`)
  })().catch(() => undefined)

  jump(PAST_DAYS * DAY_MS)
  await eventually(
    'all certificates are new',
    async () => {
      const now = await shown()
      return Object.keys(now).every(
        (key) => now[key as keyof typeof now] !== first[key as keyof typeof now],
      )
    },
    20_000,
  )
  await client.create(pods, {
    metadata: { name: 'after', namespace: 'default' },
    spec: { nodeName: 'joined', containers: [{ name: 'main', image: 'any' }] },
  })
  await eventually('the watch goes on', () => events.includes('ADDED after'))
  // By the agent's new client certificate the status comes, by its new server certificate the logs.
  await eventually('the agent reports', async () => {
    const pod = await client.get(pods, { namespace: 'default', name: 'after' })
    return pod.status?.phase === 'Running'
  })
  assert.equal(
    typeof (await client.transport.request({
      method: 'GET',
      path: '/api/v1/namespaces/default/pods/after/log',
    })),
    'string',
  )
  stop.abort()
  transport.close()
  await watching
  await agent.stop({ containers: 'leave' })
  await server.stop({ containers: 'leave' })
})

/** Real time, moved; a wait that a jump leads past ends with it. */
function jumpingClock(
  real: Clock,
  offsetMs: number,
): { readonly clock: Clock; jump(ms: number): void } {
  let offset = offsetMs
  const waits = new Map<() => void, number>()
  const schedule: Clock['schedule'] = (ms, run) => {
    let cancel = (): void => undefined
    const done = (): void => {
      waits.delete(done)
      cancel()
      run()
    }
    cancel = real.schedule(ms, done)
    waits.set(done, real.monotonic() + ms)
    return () => {
      waits.delete(done)
      cancel()
    }
  }
  return {
    clock: {
      now: () => new Date(real.now().getTime() + offset),
      monotonic: () => real.monotonic(),
      schedule,
      sleep: (ms, signal) =>
        new Promise((resolve, reject) => {
          if (signal?.aborted === true) return reject(signal.reason as Error)
          const giveUp = (): void => {
            cancel()
            reject(signal?.reason as Error)
          }
          const cancel = schedule(ms, () => {
            signal?.removeEventListener('abort', giveUp)
            resolve()
          })
          signal?.addEventListener('abort', giveUp, { once: true })
        }),
    },
    jump(ms) {
      offset += ms
      // Short waits are polls and back-offs: they come to their end by themselves.
      for (const [done, endMs] of waits) if (endMs - real.monotonic() > 600_000) done()
    },
  }
}

function fingerprint(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false }, () => {
      resolve(socket.getPeerX509Certificate()?.fingerprint256 ?? 'none')
      socket.destroy()
    })
    socket.on('error', reject)
  })
}
