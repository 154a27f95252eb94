import assert from 'node:assert/strict'
import { test } from 'node:test'
import { configMaps, events, leases, nodes, pods } from '#api'
import { virtualEnv } from '#base'
import { isStatus, StatusError, type KubeObject } from '#machinery'
import { createClient } from './client.ts'
import { discover } from './discovery.ts'
import { createEventRecorder } from './event-recorder.ts'
import { createInformers } from './informers.ts'
import { lead } from './leader-election.ts'
import { memoryTransport, type MemoryTransportOptions } from './testing/index.ts'
import { createWorkQueue } from './work-queue.ts'

/** Time that each look at it takes from: real work with a clock of its own. */
const busyClock = () => {
  let now = 0
  return { ...virtualEnv().clock, monotonic: () => (now += 0.25) }
}

test('a queue of many keys works on them in their order, and lets others have their turn in between', async () => {
  const clock = busyClock()
  const queue = createWorkQueue({ clock })
  const stop = new AbortController()
  const keys = Array.from({ length: 3000 }, (_, i) => `key-${i}`)
  for (const key of [...keys, ...keys]) queue.add(key)
  const done: string[] = []
  queue.run(async (key) => void done.push(key), { concurrency: 3, signal: stop.signal })
  let turns = 0
  while (!queue.idle) {
    await new Promise((resolve) => setImmediate(resolve))
    turns++
  }
  assert.deepEqual(done, keys)
  assert.ok(turns > 100, `${turns} turns`)
  stop.abort()
})

const map = (name: string, data: Record<string, string> = {}) => ({
  metadata: { namespace: 'shop', name },
  data,
})

function setting(options: Partial<MemoryTransportOptions> = {}) {
  const env = virtualEnv()
  const transport = memoryTransport({ clock: env.clock, ...options })
  const client = createClient(transport)
  const stop = new AbortController()
  return { env, transport, client, stop, informers: createInformers(client, env, stop.signal) }
}

test('what is absent is undefined when that is asked for, and an error otherwise', async () => {
  const { client } = setting()
  const key = { namespace: 'shop', name: 'gone' }
  assert.equal(await client.getOptional(configMaps, key), undefined)
  await assert.rejects(client.get(configMaps, key), (error) => isStatus(error, 'NotFound'))
})

test('an update of an old version is a conflict', async () => {
  const { client } = setting()
  const made = await client.create(configMaps, map('a'))
  await client.update(configMaps, { ...made, data: { a: '1' } })
  await assert.rejects(client.update(configMaps, { ...made, data: { a: '2' } }), (error) =>
    isStatus(error, 'Conflict'),
  )
})

test('an informer tells what was there, what comes, changes and goes', async () => {
  const { env, client, informers, stop } = setting()
  await client.create(configMaps, map('a'))
  const seen: string[] = []
  const informer = informers.informer(configMaps)
  informer.onChange((now, old) =>
    seen.push(`${old?.metadata.name ?? '-'}>${now?.metadata.name ?? '-'}`),
  )
  await informer.synced
  const b = await client.create(configMaps, map('b'))
  await client.update(configMaps, { ...b, data: { x: '1' } })
  await client.delete(configMaps, { namespace: 'shop', name: 'a' })
  await env.settle()
  assert.deepEqual(seen, ['->a', '->b', 'b>b', 'a>-'])
  assert.deepEqual(
    informer.list('shop').map(({ metadata }) => metadata.name),
    ['b'],
  )
  stop.abort()
})

test('an informer goes on after a break, and reads all anew after its revision expired', async () => {
  const { env, transport, client, informers, stop } = setting()
  await client.create(configMaps, map('a'))
  const informer = informers.informer(configMaps)
  await informer.synced
  transport.disconnect()
  await client.create(configMaps, map('b'))
  await env.advance(1000)
  assert.ok(informer.get('shop/b'))
  transport.disconnect({ expire: true })
  await client.delete(configMaps, { namespace: 'shop', name: 'a' })
  await client.create(configMaps, map('c'))
  await env.advance(10_000)
  assert.equal(informer.get('shop/a'), undefined)
  assert.ok(informer.get('shop/c'))
  stop.abort()
})

test('an informer lists where the server does not stream the first state', async () => {
  const { env, client, informers, stop } = setting({
    before: ({ query }) => {
      if (query?.['sendInitialEvents'] === 'true')
        throw new StatusError('Invalid', 'sendInitialEvents: Forbidden')
    },
  })
  await client.create(configMaps, map('a'))
  const informer = informers.informer(configMaps)
  await env.advance(1000)
  assert.equal(informer.hasSynced, true)
  assert.equal(informer.get('shop/a')?.kind, 'ConfigMap')
  stop.abort()
})

test('indexes follow changes', async () => {
  const { env, client, informers, stop } = setting()
  const informer = informers.informer(configMaps)
  informer.addIndex('color', ({ data }) => (data?.['color'] ? [data['color']] : []))
  const a = await client.create(configMaps, map('a', { color: 'red' }))
  await env.settle()
  assert.equal(informer.by('color', 'red').length, 1)
  await client.update(configMaps, { ...a, data: { color: 'blue' } })
  await env.settle()
  assert.equal(informer.by('color', 'red').length, 0)
  assert.equal(informer.by('color', 'blue').length, 1)
  stop.abort()
})

test('a key that is added while it is worked on is worked on once more', async () => {
  const env = virtualEnv()
  const queue = createWorkQueue(env)
  const stop = new AbortController()
  const seen: string[] = []
  queue.run(
    async (key) => {
      seen.push(key)
      await env.clock.sleep(10)
    },
    { concurrency: 2, signal: stop.signal },
  )
  queue.add('a')
  queue.add('a')
  queue.add('a')
  await env.advance(100)
  assert.deepEqual(seen, ['a', 'a'])
  assert.ok(queue.idle)
  stop.abort()
})

test('failures wait 5 ms, 10 ms, 20 ms, and success forgets them', async () => {
  const env = virtualEnv()
  const queue = createWorkQueue(env)
  const stop = new AbortController()
  const at: number[] = []
  queue.run(
    async () => {
      at.push(env.clock.monotonic())
      if (at.length < 4) throw new Error('not yet')
    },
    { concurrency: 1, signal: stop.signal },
  )
  queue.add('a')
  await env.advance(1000)
  assert.deepEqual(at, [0, 5, 15, 35])
  assert.equal(queue.failures('a'), 0)
  stop.abort()
})

test('the same event again is counted, and many similar ones become one', async () => {
  const { env, client, transport } = setting()
  const recorder = createEventRecorder(client, env, { component: 'kubelet', host: 'n1' })
  const about = await client.create(nodes, { metadata: { name: 'n1' }, spec: {} })
  for (let i = 0; i < 3; i++) recorder.event(about, 'Normal', 'Starting', 'Starting kubelet.')
  await env.settle()
  await env.settle()
  await env.settle()
  const [first] = transport.store.list(events)
  assert.equal(first?.count, 3)
  assert.equal(first.metadata.namespace, 'default')
  for (let i = 0; i < 15; i++) recorder.event(about, 'Warning', 'Sick', `number ${i}`)
  for (let i = 0; i < 20; i++) await env.settle()
  const sick = transport.store.list(events).filter(({ reason }) => reason === 'Sick')
  assert.equal(sick.length, 10)
  const combined = sick.find(({ message }) => message?.startsWith('(combined'))
  assert.equal(combined?.count, 6)
})

test('an object gets at most 25 events at once', async () => {
  const { env, client, transport } = setting()
  const recorder = createEventRecorder(client, env, { component: 'kubelet' })
  const about = await client.create(nodes, { metadata: { name: 'n1' }, spec: {} })
  for (let i = 0; i < 40; i++) recorder.event(about, 'Normal', `Reason${i}`, 'text')
  for (let i = 0; i < 40; i++) await env.settle()
  assert.equal(transport.store.list(events).length, 25)
})

test('one leads at a time, and the next takes over when it stops or dies', async () => {
  const { env, client, transport } = setting()
  const stops = [new AbortController(), new AbortController()]
  const leading = new Set<string>()
  const stand = (identity: string, signal: AbortSignal) =>
    lead(
      client,
      env,
      { namespace: 'kube-system', name: 'boss', identity },
      async (term) => {
        leading.add(identity)
        await new Promise((resolve) => term.addEventListener('abort', resolve))
        leading.delete(identity)
      },
      signal,
    )
  const [a, b] = [stand('a', stops[0]!.signal), stand('b', stops[1]!.signal)]
  await env.advance(30_000)
  assert.deepEqual([...leading], ['a'])
  stops[0]!.abort()
  await env.advance(5_000)
  assert.deepEqual([...leading], ['b'])
  const lease = transport.store.get(leases, { namespace: 'kube-system', name: 'boss' })
  assert.equal(lease?.spec?.holderIdentity, 'b')
  stops[1]!.abort()
  await env.advance(5_000)
  await Promise.all([a, b])
})

test('discovery finds each resource once', async () => {
  const { transport } = setting({
    custom: [
      { group: 'x.dev', version: 'v1', resource: 'toys', kind: 'Toy', namespaced: true },
      { group: 'x.dev', version: 'v2', resource: 'toys', kind: 'Toy', namespaced: true },
    ],
  })
  const { resources, failed } = await discover(transport)
  assert.equal(failed.length, 0)
  assert.deepEqual(
    resources.filter(({ resource }) => resource === 'toys').map(({ version }) => version),
    ['v1'],
  )
  assert.ok(resources.some(({ resource }) => resource === 'pods'))
})

test('a pod on a node is given its grace, and then goes', async () => {
  const { client, transport } = setting()
  const key = { namespace: 'shop', name: 'web-0' }
  await client.create(pods, {
    metadata: key,
    spec: { containers: [{ name: 'main', image: 'web:1' }] },
  })
  const pod = (): KubeObject | undefined => transport.store.get(pods, key)
  await client.bind(pod()!, 'n1')
  await client.delete(pods, key)
  assert.equal(pod()?.metadata.deletionGracePeriodSeconds, 30)
  await client.delete(pods, key, { gracePeriodSeconds: 0 })
  assert.equal(pod(), undefined)
})
