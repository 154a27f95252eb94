import assert from 'node:assert/strict'
import { test } from 'node:test'
import { virtualEnv } from '#base'
import { type Event, type Pod, nodes } from '#api'
import type { Runtime } from '../runtime.ts'
import { simulatedRuntime } from '../simulated/index.ts'
import { startTestNode } from '../testing/node.ts'
import { type PodOptions, pod } from '../testing/pods.ts'
import type { PodUse } from './rank.ts'
import type { Observations } from './signals.ts'

const MI = 2 ** 20
const PLENTY: Observations = {
  'memory.available': { available: 1000 * MI, capacity: 4000 * MI },
  'nodefs.available': { available: 50, capacity: 100 },
  'imagefs.available': { available: 50, capacity: 100 },
}

async function world(more: (left: { now: Observations }) => Partial<Runtime> = () => ({})) {
  const env = virtualEnv()
  const left = { now: PLENTY }
  /** By the pods' names. */
  const uses = new Map<string, Partial<PodUse>>()
  const runtime = Object.assign(simulatedRuntime(env), more(left))
  const node = await startTestNode(
    env,
    runtime,
    {},
    {
      readings: {
        node: async () => left.now,
        pods: async (agents) =>
          new Map(
            agents.map((agent): [string, PodUse] => [
              agent.uid,
              { containers: new Map(), volumes: new Map(), ...uses.get(agent.spec.metadata.name) },
            ]),
          ),
      },
    },
  )
  await env.advance(500)
  await node.kubelet.ready
  const condition = (type: string) =>
    node.api.store
      .get(nodes, { name: 'n1' })
      ?.status?.conditions?.find((each) => each.type === type)?.status
  const make = (name: string, memory: number, options: PodOptions = {}): Pod => {
    uses.set(name, {
      memoryBytes: memory,
      containers: new Map([['app', { memoryBytes: memory, diskBytes: 0 }]]),
    })
    return node.create(pod({ ...options, metadata: { ...options.metadata, name } }))
  }
  return { env, node, left, uses, condition, make }
}

test('a node that is short of memory says so, and ends one pod after the other until it has enough', async () => {
  const { env, node, left, condition, make } = await world()
  make('little', 10 * MI)
  make('much', 500 * MI)
  make('vital', 900 * MI, { priority: 2_000_000_000 })
  await env.advance(5000)
  left.now = { ...PLENTY, 'memory.available': { available: 64 * MI, capacity: 4000 * MI } }
  await env.advance(11_000)
  assert.equal(condition('MemoryPressure'), 'True')
  const status = node.get('much')?.status
  const message =
    'The node was low on resource: memory. Threshold quantity: 100Mi, available: 64Mi. Container app was using 500Mi, request is 0, has larger consumption of memory. '
  assert.deepEqual([status?.phase, status?.reason, status?.message], ['Failed', 'Evicted', message])
  const disruption = status?.conditions?.find(({ type }) => type === 'DisruptionTarget')
  assert.deepEqual(
    [disruption?.status, disruption?.reason, disruption?.message],
    ['True', 'TerminationByKubelet', message],
  )
  assert.ok(node.events('much').includes(`Evicted: ${message}`))
  assert.ok(node.events('n1').includes('EvictionThresholdMet: Attempting to reclaim memory'))
  // Still short: the next one goes, and what the cluster needs stays whatever it uses.
  await env.advance(20_000)
  assert.equal(node.get('little')?.status?.reason, 'Evicted')
  assert.equal(node.get('vital')?.status?.phase, 'Running')
  left.now = PLENTY
  await env.advance(280_000)
  assert.equal(condition('MemoryPressure'), 'True')
  await env.advance(40_000)
  assert.equal(condition('MemoryPressure'), 'False')
  await node.stop()
})

test('an event of an eviction says for programs what ran out', async () => {
  const { env, node, left, make } = await world()
  make('much', 500 * MI)
  await env.advance(1000)
  left.now = { 'memory.available': { available: 64 * MI, capacity: 4000 * MI } }
  await env.advance(11_000)
  const event = node.api.store.log
    .map(({ event: { object } }) => object as Event)
    .find(({ reason }) => reason === 'Evicted')
  assert.equal(event?.type, 'Warning')
  assert.deepEqual(event?.metadata.annotations, {
    offending_containers: 'app',
    offending_containers_usage: '500Mi',
    starved_resource: 'memory',
  })
  await node.stop()
})

test('while memory is short, new pods come in only when they ask for some or are vital', async () => {
  const { env, node, left, make } = await world()
  left.now = { 'memory.available': { available: 64 * MI, capacity: 4000 * MI } }
  await env.advance(11_000)
  left.now = PLENTY
  const asking = [{ name: 'app', resources: { requests: { memory: '1Mi' } } }]
  make('effort', 1)
  make('asking', 1, { containers: asking })
  make('vital', 1, { priority: 2_000_000_000 })
  make('tolerant', 1, {
    tolerations: [{ key: 'node.kubernetes.io/memory-pressure', operator: 'Exists' }],
  })
  await env.advance(5000)
  const { phase, reason, message } = node.get('effort')?.status ?? {}
  assert.deepEqual(
    [phase, reason, message],
    ['Failed', 'Evicted', 'Pod was rejected: The node had condition: [MemoryPressure]. '],
  )
  for (const name of ['asking', 'vital', 'tolerant'])
    assert.equal(node.get(name)?.status?.phase, 'Running', name)
  await node.stop()
})

test('when the disk is short, images go before pods do', async () => {
  const gone: string[] = []
  const image = (id: string) => ({
    id,
    tags: [id],
    digests: [`${id}@sha256:0`],
    sizeBytes: 10,
    username: '',
    pinned: false,
  })
  const images = [image('busybox:1'), image('old:1')]
  const { env, node, left, uses, condition, make } = await world((remaining) => ({
    listImages: async () => images.filter(({ id }) => !gone.includes(id)),
    removeImage: async (id: string) => {
      gone.push(id)
      remaining.now = PLENTY
    },
  }))
  make('web', MI)
  uses.set('web', { diskBytes: 100 * MI })
  await env.advance(10_000)
  left.now = { ...PLENTY, 'imagefs.available': { available: 14, capacity: 100 } }
  await env.advance(11_000)
  assert.deepEqual(gone, ['old:1'])
  assert.equal(condition('DiskPressure'), 'True')
  assert.equal(node.get('web')?.status?.phase, 'Running')
  left.now = { ...PLENTY, 'nodefs.available': { available: 9, capacity: 100 } }
  await env.advance(11_000)
  assert.match(
    node.get('web')?.status?.message ?? '',
    /^The node was low on resource: ephemeral-storage\. /,
  )
  await node.stop()
})

test('a pod that uses more of the disk than its volume may is evicted, whatever the node has left', async () => {
  const { env, node, uses, make } = await world()
  make('web', 1, { volumes: [{ name: 'cache', emptyDir: { sizeLimit: '1Mi' } }] })
  await env.advance(15_000)
  assert.equal(node.get('web')?.status?.phase, 'Running')
  uses.set('web', { volumes: new Map([['cache', 2 * MI]]) })
  await env.advance(11_000)
  const { phase, reason, message } = node.get('web')?.status ?? {}
  assert.deepEqual(
    [phase, reason, message],
    ['Failed', 'Evicted', 'Usage of EmptyDir volume "cache" exceeds the limit "1Mi". '],
  )
  await node.stop()
})
