import assert from 'node:assert/strict'
import { test } from 'node:test'
import { virtualEnv } from '#base'
import { type Pod, type ResourceRequirements, pods } from '#api'
import { simulatedRuntime } from '../simulated/index.ts'
import { type TestNode, startTestNode } from '../testing/node.ts'
import { type PodOptions, pod } from '../testing/pods.ts'

const web = (resources: ResourceRequirements, options: PodOptions = {}): Pod =>
  pod({ containers: [{ name: 'app', resources }], ...options })
const resize = (node: TestNode, resources: ResourceRequirements): void => {
  const now = node.get('web')
  assert.ok(now)
  const containers = now.spec.containers.map((container) => ({ ...container, resources }))
  node.api.store.update(pods, { ...now, spec: { ...now.spec, containers } }, 'resize')
}
const app = (node: TestNode) => node.get('web')?.status?.containerStatuses?.[0]
const resizing = (node: TestNode) =>
  (node.get('web')?.status?.conditions ?? []).filter(({ type }) => type.startsWith('PodResize'))

async function world(first: Pod) {
  const env = virtualEnv()
  const runtime = simulatedRuntime(env)
  const node = await startTestNode(env, runtime)
  await env.advance(500)
  node.create(first)
  await env.advance(1000)
  return { env, runtime, node }
}

test('a running container gets what its pod asks for now, and the status says so', async () => {
  const { env, runtime, node } = await world(
    web({ requests: { cpu: '100m' }, limits: { cpu: '200m', memory: '64Mi' } }),
  )
  const id = app(node)?.containerID
  resize(node, { requests: { cpu: '150m' }, limits: { cpu: '300m', memory: '128Mi' } })
  await env.advance(1000)
  assert.deepEqual(app(node)?.resources, {
    requests: { cpu: '150m', memory: '128Mi' },
    limits: { cpu: '300m', memory: '128Mi' },
  })
  assert.deepEqual(app(node)?.allocatedResources, { cpu: '150m', memory: '128Mi' })
  assert.deepEqual([app(node)?.containerID, app(node)?.restartCount], [id, 0])
  const [found] = await runtime.listContainers()
  const status = await runtime.containerStatus(found?.id ?? '')
  assert.equal(status?.resources?.cpuQuota, 30_000)
  assert.equal(status?.resources?.memoryLimitInBytes, 128 * 2 ** 20)
  assert.deepEqual(resizing(node), [])
  assert.ok(node.events('web').some((text) => text.startsWith('ResizeCompleted: ')))
  await node.stop()
})

test('what no node of this size can give stays pending as infeasible', async () => {
  const { env, node } = await world(web({ requests: { cpu: '100m' } }))
  resize(node, { requests: { cpu: '6400' } })
  await env.advance(1000)
  const [pending] = resizing(node)
  assert.deepEqual(
    [pending?.type, pending?.status, pending?.reason],
    ['PodResizePending', 'True', 'Infeasible'],
  )
  assert.match(
    pending?.message ?? '',
    /^Node didn't have enough capacity: cpu, requested: 6400000, /,
  )
  assert.deepEqual(app(node)?.allocatedResources, { cpu: '100m' })
  assert.deepEqual(app(node)?.resources, { requests: { cpu: '100m' } })
  await node.stop()
})

test('a resize that has no room now is deferred until another pod goes', async () => {
  const { env, node } = await world(web({ requests: { cpu: '100m' } }))
  const cores = Number.parseFloat(node.kubelet.node()?.status?.allocatable?.['cpu'] ?? '0')
  assert.ok(cores > 1)
  const half = `${cores * 600}m`
  node.create(
    pod({
      containers: [{ name: 'app', resources: { requests: { cpu: half } } }],
      metadata: { name: 'other' },
    }),
  )
  await env.advance(1000)
  resize(node, { requests: { cpu: half } })
  await env.advance(1000)
  assert.equal(resizing(node)[0]?.reason, 'Deferred')
  node.remove('other', 0)
  await env.advance(15_000)
  assert.deepEqual(resizing(node), [])
  assert.equal(app(node)?.allocatedResources?.['cpu'], half)
  await node.stop()
})

test('a container whose policy says so is made anew, even when its pod restarts nothing by itself', async () => {
  const containers = [
    {
      name: 'app',
      resources: { limits: { memory: '64Mi' } },
      resizePolicy: [{ resourceName: 'memory', restartPolicy: 'RestartContainer' }],
    },
  ]
  const { env, node } = await world(pod({ containers, restartPolicy: 'OnFailure' }))
  const id = app(node)?.containerID
  resize(node, { limits: { memory: '32Mi' } })
  await env.advance(60_000)
  assert.notEqual(app(node)?.containerID, id)
  assert.equal(app(node)?.restartCount, 1)
  assert.deepEqual(app(node)?.resources, {
    limits: { memory: '32Mi' },
    requests: { memory: '32Mi' },
  })
  assert.deepEqual(resizing(node), [])
  assert.ok(
    node.events('web').includes('Killing: Container app resize requires restart'),
    node.events('web').join('\n'),
  )
  await node.stop()
})

test('a new kubelet finishes a resize that came while there was none', async () => {
  const { env, runtime, node } = await world(web({ limits: { cpu: '200m' } }))
  await node.stop()
  resize(node, { limits: { cpu: '300m' } })
  const again = await startTestNode(env, runtime, {}, { api: node.api })
  await env.advance(1000)
  const [found] = await runtime.listContainers()
  const status = await runtime.containerStatus(found?.id ?? '')
  assert.equal(status?.resources?.cpuQuota, 30_000)
  assert.deepEqual(app(again)?.resources?.limits, { cpu: '300m' })
  await again.stop()
})
