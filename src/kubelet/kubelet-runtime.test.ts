import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pods } from '#api'
import { virtualEnv } from '#base'
import { SIMULATION, simulatedRuntime } from './simulated/index.ts'
import { startTestNode } from './testing/node.ts'
import { condition, first, phase, started, world } from './kubelet.testing.ts'

test('another image: the container is made anew at once, and the pod stays ready meanwhile', async () => {
  const { env, node } = await world()
  node.create(started('web', { containers: [{ name: 'app', image: 'web:1' }] }))
  await env.advance(500)
  for (const [count, image] of [
    [1, 'web:2'],
    [2, 'web:1'],
  ] as const) {
    const web = node.get('web')
    assert.ok(web)
    node.api.store.update(pods, {
      ...web,
      spec: { ...web.spec, containers: [{ name: 'app', image }] },
    })
    // As it looks at every moment until the new one runs.
    for (let step = 0; first(node.get('web'))?.restartCount !== count && step < 3000; step++) {
      assert.equal(condition(node.get('web'), 'Ready')?.status, 'True')
      await env.advance(1)
    }
    assert.equal(first(node.get('web'))?.restartCount, count)
    assert.notEqual(first(node.get('web'))?.state?.running, undefined)
    assert.equal(condition(node.get('web'), 'Ready')?.status, 'True')
  }
  await node.stop()
})

test('a restart is counted when the container runs again, not when it is made', async () => {
  const { env, node } = await world()
  node.create(
    started('web', {
      metadata: { annotations: { [SIMULATION.runSeconds]: '3', [SIMULATION.exitCode]: '1' } },
      // While its hook runs it is not shown as running.
      containers: [
        { name: 'app', image: 'web:1', lifecycle: { postStart: { sleep: { seconds: 1 } } } },
      ],
    }),
  )
  for (let count = 0, ms = 0; count < 3; ms += 10) {
    assert.ok(ms < 60_000, `${count} restarts`)
    await env.advance(10)
    const app = first(node.get('web'))
    if ((app?.restartCount ?? 0) === count) continue
    count++
    assert.equal(app?.restartCount, count)
    assert.notEqual(app?.state?.running, undefined)
  }
  await node.stop()
})

test('a replaced container that does not come back is seen to have ended', async () => {
  const { env, node } = await world()
  node.create(started('web', { containers: [{ name: 'app', image: 'web:1' }] }))
  await env.advance(500)
  const web = node.get('web')
  assert.ok(web)
  const containers = [{ name: 'app', image: 'nonexistent:1' }]
  node.api.store.update(pods, { ...web, spec: { ...web.spec, containers } })
  await env.advance(2500)
  assert.equal(condition(node.get('web'), 'Ready')?.status, 'False')
  assert.match(first(node.get('web'))?.state?.waiting?.reason ?? '', /^(Err)?ImagePull/)
  await node.stop()
})

test('a new kubelet finds what runs, and restarts nothing', async () => {
  const env = virtualEnv()
  const runtime = simulatedRuntime(env)
  const before = await startTestNode(env, runtime)
  await env.advance(500)
  before.create(started('web'))
  before.create(started('gone'))
  await env.advance(500)
  const id = first(before.get('web'))?.containerID
  await before.stop()
  before.api.store.delete(pods, { namespace: 'shop', name: 'gone' }, { gracePeriodSeconds: 0 })
  const again = await startTestNode(env, runtime, {}, { api: before.api })
  await env.advance(1000)
  assert.equal(first(again.get('web'))?.containerID, id)
  assert.equal(first(again.get('web'))?.restartCount, 0)
  assert.equal((await runtime.listPodSandboxes()).length, 1, 'what is gone from the API is ended')
  await again.stop()
})

test('a machine that has lost its containers runs them again, and counts that as a restart', async () => {
  const env = virtualEnv()
  const before = await startTestNode(env, simulatedRuntime(env))
  await env.advance(500)
  before.create(started('web'))
  before.create(started('once', { restartPolicy: 'Never' }))
  await env.advance(500)
  await before.stop()
  const again = await startTestNode(env, simulatedRuntime(env), {}, { api: before.api })
  await env.advance(1000)
  const web = first(again.get('web'))
  assert.ok(web?.state?.running)
  assert.equal(web.restartCount, 1)
  assert.equal(web.lastState?.terminated?.reason, 'ContainerStatusUnknown')
  assert.equal(phase(again.get('once')), 'Failed')
  assert.equal(first(again.get('once'))?.state?.terminated?.exitCode, 137)
  await again.stop()
})

test('an ephemeral container joins a running pod', async () => {
  const { env, node } = await world()
  node.create(started('web'))
  await env.advance(500)
  const web = node.get('web')
  assert.ok(web)
  node.api.store.update(
    pods,
    { ...web, spec: { ...web.spec, ephemeralContainers: [{ name: 'debug', image: 'busybox:1' }] } },
    'ephemeralcontainers',
  )
  await env.advance(500)
  const [debug] = node.get('web')?.status?.ephemeralContainerStatuses ?? []
  assert.ok(debug?.state?.running)
  await node.stop()
})

test('a privileged debugger is made in a sandbox that says so', async () => {
  const env = virtualEnv()
  const runtime = simulatedRuntime(env)
  const asked: boolean[] = []
  const create = runtime.createContainer.bind(runtime)
  const node = await startTestNode(
    env,
    Object.assign(runtime, {
      createContainer: (...args: Parameters<typeof create>) => {
        asked.push(args[2].linux.securityContext.privileged)
        return create(...args)
      },
    }),
  )
  await env.advance(500)
  node.create(started('web'))
  await env.advance(500)
  const web = node.get('web')
  assert.ok(web)
  const debug = { name: 'debug', image: 'busybox:1', securityContext: { privileged: true } }
  node.api.store.update(
    pods,
    { ...web, spec: { ...web.spec, ephemeralContainers: [debug] } },
    'ephemeralcontainers',
  )
  await env.advance(500)
  assert.deepEqual(asked, [false, true])
  await node.stop()
})

test('what is made while the runtime lists has not vanished from it', async () => {
  const env = virtualEnv()
  const runtime = simulatedRuntime(env)
  const list = runtime.listPodSandboxes.bind(runtime)
  let slow = false
  Object.assign(runtime, {
    listPodSandboxes: async () => {
      const found = await list()
      if (slow) await env.clock.sleep(5000)
      return found
    },
  })
  const node = await startTestNode(env, runtime)
  await env.advance(500)
  node.create(started('first'))
  await env.advance(500)
  slow = true
  for (let i = 0; i < 20; i++) {
    node.create(started(`web-${i}`))
    await env.advance(2000)
  }
  await env.advance(10_000)
  assert.equal((await list()).length, 21)
  assert.equal(first(node.get('web-15'))?.restartCount, 0)
  await node.stop()
})
