import assert from 'node:assert/strict'
import { test } from 'node:test'
import { virtualEnv } from '#base'
import { info, node, noVolumes, pod, setting } from './fixtures.ts'
import { createFramework } from './framework-run.ts'
import { defaultPlugins } from './plugins/index.ts'
import { SchedulingQueue } from './queue.ts'

function setUp() {
  const env = virtualEnv()
  const framework = createFramework(defaultPlugins(noVolumes))
  let ready = 0
  const queue = new SchedulingQueue({ clock: env.clock, framework }, () => ready++)
  const popName = () => queue.pop()?.info.pod.metadata.name
  return { env, queue, popName, readyCount: () => ready }
}

test('higher priority goes first, and of equals who came first', async () => {
  const { env, queue, popName } = setUp()
  for (const [name, priority] of [
    ['a', 0],
    ['b', 10],
    ['c', 10],
    ['d', 0],
  ] as const) {
    queue.put(pod(name, { priority }))
    await env.advance(1)
  }
  assert.deepEqual(
    [popName(), popName(), popName(), popName(), popName()],
    ['b', 'c', 'a', 'd', undefined],
  )
})

test('a pod with gates stays out until they are gone', () => {
  const { queue, popName } = setUp()
  queue.put(pod('a', { spec: { schedulingGates: [{ name: 'wait' }] } }))
  assert.equal(popName(), undefined)
  assert.equal(queue.counts.gated, 1)
  queue.put(pod('a', { resourceVersion: '2' }))
  assert.equal(popName(), 'a')
})

test('a refused pod waits for an event that may help it', async () => {
  const { env, queue, popName, readyCount } = setUp()
  queue.put(pod('a', { requests: { cpu: '2' } }))
  const queued = queue.pop()
  assert.ok(queued)
  queue.failed(queued, new Set(['NodeResourcesFit']))
  await env.advance(1000)
  queue.onEvent({ name: 'node/taints' })
  queue.onEvent({ name: 'volume' })
  assert.equal(popName(), undefined)
  const small = setting([node('small', { allocatable: { cpu: '1' } })]).snapshot.node('small')
  assert.ok(small)
  queue.onEvent({ name: 'node/add', node: small })
  assert.equal(popName(), undefined, 'a node that is too small does not help')
  const before = readyCount()
  queue.onEvent({ name: 'pod/deleted', pod: info('x') })
  assert.equal(readyCount(), before + 1)
  assert.equal(popName(), 'a')
})

test('a pod that fails again and again waits longer', async () => {
  const { env, queue } = setUp()
  queue.put(pod('a'))
  for (let attempt = 1; attempt <= 5; attempt++) {
    const queued = queue.pop()
    assert.ok(queued, `attempt ${attempt}`)
    queue.failed(queued, new Set(['NodeResourcesFit']))
    queue.onEvent({ name: 'pod/deleted' })
    await env.advance(100 * attempt - 1)
    assert.equal(queue.pop(), undefined)
    await env.advance(1)
  }
})

test('after an error the wait doubles up to ten seconds', async () => {
  const { env, queue } = setUp()
  queue.put(pod('a'))
  for (const wait of [1000, 2000, 4000, 8000, 10_000, 10_000]) {
    const queued = queue.pop()
    assert.ok(queued)
    queue.failedWithError(queued)
    await env.advance(wait - 1)
    assert.equal(queue.pop(), undefined)
    await env.advance(1)
  }
})

test('whatever happens, a pod is tried again after five minutes', async () => {
  const { env, queue, popName } = setUp()
  queue.put(pod('a'))
  const queued = queue.pop()
  assert.ok(queued)
  queue.failed(queued, new Set(['NodeName']))
  await env.advance(299_000)
  assert.equal(popName(), undefined)
  await env.advance(1000)
  assert.equal(popName(), 'a')
})

test('a change of the pod itself counts, its status does not', async () => {
  const { env, queue, popName } = setUp()
  queue.put(pod('a'))
  const queued = queue.pop()
  assert.ok(queued)
  queue.failed(queued, new Set(['NodeAffinity']))
  await env.advance(1000)
  queue.put({ ...pod('a'), status: { phase: 'Pending', message: 'x' } })
  assert.equal(popName(), undefined)
  queue.put(pod('a', { labels: { app: 'web' } }))
  assert.equal(popName(), 'a')
})

test('a removed pod does not come up again', async () => {
  const { env, queue, popName } = setUp()
  queue.put(pod('a'))
  queue.remove('uid-shop-a')
  assert.equal(popName(), undefined)
  queue.put(pod('b'))
  const queued = queue.pop()
  assert.ok(queued)
  queue.remove(queued.uid)
  queue.failedWithError(queued)
  await env.advance(20_000)
  assert.equal(popName(), undefined)
})
