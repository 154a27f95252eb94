import assert from 'node:assert/strict'
import { test } from 'node:test'
import { leases, pods, replicaSets, type Lease, type ReplicaSet } from '#api'
import { ensureAuthorities } from '#apiserver'
import { createLogger, virtualEnv, type LogRecord } from '#base'
import type { Draft } from '#machinery'
import { createMemoryStorage } from '#storage'
import { startControlPlane } from './control-plane.ts'
import { apiServerName } from './leadership.ts'

const web = {
  metadata: { namespace: 'default', name: 'web' },
  spec: {
    replicas: 1,
    selector: { matchLabels: { app: 'web' } },
    template: {
      metadata: { labels: { app: 'web' } },
      spec: { containers: [{ name: 'main', image: 'web:1' }] },
    },
  },
} as unknown as Draft<ReplicaSet>

const micro = (ms: number): string => new Date(ms).toISOString().replace('Z', '000Z')

async function setting() {
  const said: LogRecord[] = []
  const log = createLogger({
    now: () => new Date(),
    level: () => 'info',
    sink: (record) => said.push(record),
  })
  const env = virtualEnv({ log })
  const storage = createMemoryStorage({ clock: env.clock })
  const pki = await ensureAuthorities({ ...env, fs: virtualEnv().fs }, '/pki')
  const start = () =>
    startControlPlane(
      {
        env,
        storage,
        pki,
        serviceCidr: '10.96.0.0/12',
        podCidr: '10.244.0.0/16',
        host: 'machine-1',
      },
      { address: '10.0.0.1', port: 6443 },
    )
  return { env, start, warnings: () => said.filter(({ level }) => level !== 'info') }
}

const server = 'apiserver-66tsm3pywqqhspkrxeswdfk5wi'

test('an API server is named after its machine as upstream names it', () => {
  assert.equal(apiServerName('machine-1'), server)
})

test('controllers, scheduler and server hold their leases, renew them, and take them again after a restart', async () => {
  const { env, start, warnings } = await setting()
  let plane = await start()
  const lease = (name: string): Promise<Lease> =>
    plane.client.get(leases, { namespace: 'kube-system', name })
  await env.advance(2000)
  const names = ['kube-controller-manager', 'kube-scheduler', server]
  const first = await Promise.all(names.map(lease))
  const holders = first.map(({ spec }) => spec?.holderIdentity)
  assert.ok(holders.every((holder) => holder !== undefined && holder !== ''))
  assert.equal(first[2]?.metadata.labels?.['apiserver.kubernetes.io/identity'], 'kube-apiserver')
  assert.equal(first[2]?.metadata.labels?.['kubernetes.io/hostname'], 'machine-1')
  await env.advance(90_000)
  for (const [i, name] of names.entries()) {
    const renewed = (await lease(name)).spec?.renewTime ?? ''
    assert.ok(renewed > (first[i]?.spec?.renewTime ?? ''), `${name} ${renewed}`)
  }
  await plane.stop()

  plane = await start()
  await plane.client.create(replicaSets, web)
  await env.advance(5000)
  assert.equal((await plane.client.list(pods)).items.length, 1)
  assert.deepEqual(
    (await Promise.all(names.map(lease))).map(({ spec }) => spec?.holderIdentity),
    holders,
  )
  assert.deepEqual(warnings(), [])
  assert.match(
    await env.metrics.text(),
    /^leader_election_master_status\{name="kube-scheduler"\} 1$/m,
  )
  await plane.stop()
})

test('who loses the lease stops its work, and takes it up again when the lease is free', async () => {
  const { env, start } = await setting()
  const plane = await start()
  const key = { namespace: 'kube-system', name: 'kube-controller-manager' }
  await env.advance(100)
  const held = await plane.client.get(leases, key)
  const now = micro(env.clock.now().getTime())
  const spec = { holderIdentity: 'somebody', leaseDurationSeconds: 60, renewTime: now }
  await plane.client.update(leases, { ...held, spec })
  await env.advance(60_000)
  await plane.client.create(replicaSets, web)
  await env.advance(10_000)
  assert.equal((await plane.client.list(pods)).items.length, 0)
  await env.advance(60_000)
  assert.equal((await plane.client.list(pods)).items.length, 1)
  await plane.stop()
})

test('the lease of a server that is gone for an hour is removed', async () => {
  const { env, start } = await setting()
  const plane = await start()
  await plane.client.create(leases, {
    metadata: {
      namespace: 'kube-system',
      name: 'apiserver-old',
      labels: { 'apiserver.kubernetes.io/identity': 'kube-apiserver' },
    },
    spec: {
      holderIdentity: 'old',
      leaseDurationSeconds: 3600,
      renewTime: micro(env.clock.now().getTime()),
    },
  })
  for (let i = 0; i < 125; i++) await env.advance(60_000)
  const { items } = await plane.client.list(leases, { namespace: 'kube-system' })
  assert.ok(!items.some(({ metadata }) => metadata.name === 'apiserver-old'))
  assert.ok(items.some(({ metadata }) => metadata.name === server))
  await plane.stop()
})
