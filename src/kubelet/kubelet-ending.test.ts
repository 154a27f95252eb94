import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pods, type Pod } from '#api'
import { virtualEnv } from '#base'
import { SIMULATION, simulatedRuntime } from './simulated/index.ts'
import { startTestNode } from './testing/node.ts'
import { first, phase, started, world } from './kubelet.testing.ts'

test('a job ends Succeeded, or Failed, and stays for its logs until it is deleted', async () => {
  const { env, node } = await world()
  for (const [name, code] of [
    ['good', '0'],
    ['bad', '1'],
  ] as const) {
    node.create(
      started(name, {
        restartPolicy: 'Never',
        metadata: { annotations: { [SIMULATION.runSeconds]: '1', [SIMULATION.exitCode]: code } },
      }),
    )
  }
  await env.advance(3000)
  assert.equal(phase(node.get('good')), 'Succeeded')
  assert.equal(phase(node.get('bad')), 'Failed')
  assert.equal(first(node.get('bad'))?.state?.terminated?.exitCode, 1)
  const log = await node.kubelet.nodeApi.logs(
    { namespace: 'shop', pod: 'good' },
    { container: 'app' },
    new AbortController().signal,
  )
  let text = ''
  for await (const chunk of log) text += Buffer.from(chunk).toString()
  assert.match(text, /started \(simulated\)/)
  node.remove('good')
  await env.advance(1000)
  assert.equal(node.get('good'), undefined)
  await node.stop()
})

test('a deleted pod is told, waited for, and only then gone', async () => {
  const { env, node } = await world()
  node.create(started('web', { metadata: { annotations: { [SIMULATION.stopSeconds]: '5' } } }))
  await env.advance(500)
  node.remove('web')
  await env.advance(4000)
  assert.equal(phase(node.get('web')), 'Running')
  assert.notEqual(node.get('web')?.metadata.deletionTimestamp, undefined)
  await env.advance(2000)
  assert.equal(node.get('web'), undefined)
  assert.match(node.events('web').join('\n'), /Killing: Stopping container app/)
  await node.stop()
})

test('what ignores SIGTERM is killed when its grace is over, and a shorter grace counts at once', async () => {
  const { env, node } = await world()
  const slow = { metadata: { annotations: { [SIMULATION.stopSeconds]: '1000' } } }
  node.create(started('one', slow))
  node.create(started('two', slow))
  await env.advance(500)
  node.remove('one', 10)
  node.remove('two', 100)
  await env.advance(5000)
  node.remove('two', 1)
  await env.advance(2000)
  assert.equal(node.get('two'), undefined)
  assert.notEqual(node.get('one'), undefined)
  await env.advance(4000)
  assert.equal(node.get('one'), undefined)
  await node.stop()
})

test('a version of a pod is told as seen at once, however long the round before it takes', async () => {
  const { env, node } = await world()
  node.create(started('web', { metadata: { annotations: { [SIMULATION.stopSeconds]: '25' } } }))
  await env.advance(500)
  const change = (generation: number, spec: Partial<Pod['spec']>): void => {
    const web = node.get('web')
    assert.ok(web)
    const metadata = { ...web.metadata, generation }
    node.api.store.update(pods, { ...web, metadata, spec: { ...web.spec, ...spec } })
  }
  const seen = () => node.get('web')?.status?.observedGeneration
  const [container] = node.get('web')?.spec.containers ?? []
  assert.ok(container)
  change(2, { containers: [{ ...container, image: 'another' }] })
  await env.advance(500)
  assert.equal(seen(), 2)
  change(3, { activeDeadlineSeconds: 5000 })
  await env.advance(500)
  assert.equal(seen(), 3)
  assert.ok(first(node.get('web'))?.state?.running, 'it still runs')
  await env.advance(30_000)
  assert.equal(first(node.get('web'))?.restartCount, 1)
  await node.stop()
})

test('a pod is told to stop only after nobody sends to it any more', async () => {
  const { promise, resolve } = Promise.withResolvers<void>()
  const { env, node } = await world({ drained: () => promise })
  node.create(started('web'))
  await env.advance(500)
  node.remove('web')
  await env.advance(3000)
  assert.ok(first(node.get('web'))?.state?.running, 'it still runs')
  resolve()
  await env.advance(100)
  assert.equal(node.get('web'), undefined)
  await node.stop()
})

test('a proxy that never answers holds a pod up for ten seconds at most', async () => {
  const { env, node } = await world({ drained: () => new Promise(() => {}) })
  node.create(started('web'))
  await env.advance(500)
  node.remove('web')
  await env.advance(9000)
  assert.notEqual(node.get('web'), undefined)
  await env.advance(2000)
  assert.equal(node.get('web'), undefined)
  await node.stop()
})

test('a pod that may run for two seconds fails after them', async () => {
  const { env, node } = await world()
  node.create(started('web', { activeDeadlineSeconds: 2 }))
  await env.advance(1000)
  assert.equal(phase(node.get('web')), 'Running')
  await env.advance(2000)
  assert.equal(phase(node.get('web')), 'Failed')
  assert.equal(node.get('web')?.status?.reason, 'DeadlineExceeded')
  await node.stop()
})

test('a pod takes the place of one that the API has forgotten, though that still ends here', async () => {
  const { env, node } = await world()
  const asks = (name: string) =>
    started(name, {
      containers: [{ name: 'app', resources: { requests: { cpu: '3' } } }],
      terminationGracePeriodSeconds: 0,
    })
  node.create(asks('old'))
  await env.advance(500)
  node.remove('old', 0)
  node.create(asks('new'))
  node.create(asks('late'))
  await env.advance(1000)
  assert.equal(phase(node.get('new')), 'Running')
  assert.equal(node.get('late')?.status?.reason, 'OutOfcpu')
  await node.stop()
})

test('who names a pod and not its uid means the newest, though an older one is still ending', async () => {
  const env = virtualEnv()
  const slow = { stopPodSandbox: () => env.clock.sleep(20_000) }
  const node = await startTestNode(env, Object.assign(simulatedRuntime(env), slow))
  const made = (run: string) =>
    started('web', { metadata: { annotations: { [SIMULATION.output]: run } } })
  node.create(made('the first'))
  await env.advance(1000)
  // Forced: the object is gone while the runtime takes its time.
  node.remove('web', 0)
  node.create(made('the second'))
  await env.advance(1000)
  const log = await node.kubelet.nodeApi.logs(
    { namespace: 'shop', pod: 'web' },
    { container: 'app' },
    new AbortController().signal,
  )
  let text = ''
  for await (const chunk of log) text += Buffer.from(chunk).toString()
  assert.match(text, /the second/)
  await node.stop()
})
