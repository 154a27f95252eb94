import assert from 'node:assert/strict'
import { test } from 'node:test'
import { configMaps, pods, type Pod } from '#api'
import { SIMULATION } from './simulated/index.ts'
import { condition, first, phase, started, world } from './kubelet.testing.ts'

test('a pod runs: image, sandbox, container, status, events', async () => {
  const { env, node } = await world()
  node.create(started('web'))
  await env.advance(200)
  const web = node.get('web')
  assert.equal(phase(web), 'Running')
  assert.equal(condition(web, 'Ready')?.status, 'True')
  assert.match(web?.status?.podIP ?? '', /^10\.244\.0\.\d+$/)
  assert.match(first(web)?.containerID ?? '', /^navarch-simulated:\/\//)
  const reasons = node.events('web').map((text) => text.split(':')[0])
  assert.deepEqual(reasons, ['Pulling', 'Pulled', 'Created', 'Started'])
  await node.stop()
})

test('an image that does not exist shows ErrImagePull, then ImagePullBackOff and its cause', async () => {
  const { env, node } = await world()
  node.create(started('web', { containers: [{ name: 'app', image: 'nonexistent:1' }] }))
  await env.advance(500)
  assert.equal(first(node.get('web'))?.state?.waiting?.reason, 'ErrImagePull')
  await env.advance(3000)
  const waiting = first(node.get('web'))?.state?.waiting
  assert.equal(waiting?.reason, 'ImagePullBackOff')
  assert.match(
    waiting?.message ?? '',
    /Back-off pulling image "nonexistent:1": ErrImagePull: .*not found/,
  )
  assert.equal(phase(node.get('web')), 'Pending')
  const pulls = () => node.events('web').filter((text) => text.startsWith('Pulling')).length
  assert.equal(pulls(), 1)
  await node.stop()
})

test('a container that ends is restarted at once, and then ever later', async () => {
  const { env, node } = await world()
  node.create(
    started('web', {
      metadata: { annotations: { [SIMULATION.runSeconds]: '1', [SIMULATION.exitCode]: '3' } },
    }),
  )
  await env.advance(1500)
  assert.equal(first(node.get('web'))?.restartCount, 1)
  await env.advance(1500)
  const app = first(node.get('web'))
  assert.equal(app?.state?.waiting?.reason, 'CrashLoopBackOff')
  assert.match(app?.state?.waiting?.message ?? '', /^back-off 10s restarting failed container=app/)
  assert.equal(app?.lastState?.terminated?.exitCode, 3)
  await env.advance(10_000)
  assert.equal(first(node.get('web'))?.restartCount, 2)
  await env.advance(21_000)
  assert.equal(first(node.get('web'))?.restartCount, 3)
  assert.match(
    node.events('web').join('\n'),
    /BackOff: Back-off restarting failed container app in pod web_shop/,
  )
  await node.stop()
})

test('what others write over the conditions of a kubelet is put right', async () => {
  const { env, node } = await world()
  node.create(started('web'))
  await env.advance(500)
  const write = (status: Pod['status']): void => {
    const web = node.get('web')
    assert.ok(web)
    node.api.store.update(pods, { ...web, status: { ...web.status, ...status } }, 'status')
  }
  const conditions = (node.get('web')?.status?.conditions ?? []).map((each) =>
    each.type === 'Ready' ? { ...each, status: 'False' as const } : each,
  )
  write({ conditions: [...conditions, { type: 'example.com/gate', status: 'True' }] })
  await env.advance(1000)
  assert.equal(condition(node.get('web'), 'Ready')?.status, 'False')
  await env.advance(10_000)
  assert.equal(condition(node.get('web'), 'Ready')?.status, 'True')
  assert.equal(condition(node.get('web'), 'example.com/gate')?.status, 'True')
  // What it says itself brings on nothing.
  const version = node.get('web')?.metadata.resourceVersion
  await env.advance(60_000)
  assert.equal(node.get('web')?.metadata.resourceVersion, version)
  // The end is anybody's to declare.
  write({ phase: 'Failed' })
  await env.advance(30_000)
  assert.equal(phase(node.get('web')), 'Failed')
  await node.stop()
})

test('a pod waits for a missing config map, says so, and goes on when it comes', async () => {
  const { env, node } = await world()
  node.create(
    started('web', {
      volumes: [{ name: 'cfg', configMap: { name: 'settings' } }],
      containers: [{ name: 'app', volumeMounts: [{ name: 'cfg', mountPath: '/etc/app' }] }],
    }),
  )
  await env.advance(3000)
  assert.equal(phase(node.get('web')), 'Pending')
  assert.equal(condition(node.get('web'), 'PodReadyToStartContainers')?.status, 'False')
  assert.match(
    node.events('web').join('\n'),
    /FailedMount: MountVolume.SetUp failed for volume "cfg" : configmap "settings" not found/,
  )
  node.api.store.create(configMaps, { metadata: { name: 'settings', namespace: 'shop' }, data: {} })
  await env.advance(300)
  assert.equal(phase(node.get('web')), 'Running')
  await node.stop()
})

test('a variable from nowhere is a CreateContainerConfigError until it is somewhere', async () => {
  const { env, node } = await world()
  const env1 = [
    { name: 'A', valueFrom: { configMapKeyRef: { name: 'settings', key: 'a' } } },
  ] as const
  node.create(started('web', { containers: [{ name: 'app', env: env1 }] }))
  await env.advance(1000)
  const waiting = first(node.get('web'))?.state?.waiting
  assert.deepEqual(waiting, {
    reason: 'CreateContainerConfigError',
    message: 'configmap "settings" not found',
  })
  node.api.store.create(configMaps, {
    metadata: { name: 'settings', namespace: 'shop' },
    data: { a: '1' },
  })
  await env.advance(300)
  assert.equal(phase(node.get('web')), 'Running')
  await node.stop()
})

test('a pod that does not fit is rejected, with the words of Kubernetes', async () => {
  const { env, node } = await world()
  const ports = [{ containerPort: 80, hostPort: 8080 }]
  node.create(started('one', { containers: [{ name: 'app', ports }] }))
  await env.advance(500)
  node.create(started('two', { containers: [{ name: 'app', ports }] }))
  node.create(
    started('three', { containers: [{ name: 'app', resources: { requests: { cpu: '64' } } }] }),
  )
  await env.advance(500)
  assert.equal(phase(node.get('one')), 'Running')
  assert.deepEqual(
    [phase(node.get('two')), node.get('two')?.status?.reason],
    ['Failed', 'NodePorts'],
  )
  assert.equal(node.get('three')?.status?.reason, 'OutOfcpu')
  await node.stop()
})

test('init containers and sidecars: in order at the start, sidecars last at the end', async () => {
  const { env, node } = await world()
  node.create(
    started('web', {
      restartPolicy: 'Never',
      initContainers: [
        { name: 'proxy', image: 'busybox:1', restartPolicy: 'Always' },
        { name: 'setup', image: 'busybox:1' },
      ],
      metadata: {
        annotations: {
          [`${SIMULATION.runSeconds}.setup`]: '1',
          [`${SIMULATION.runSeconds}.app`]: '2',
        },
      },
    }),
  )
  await env.advance(800)
  assert.equal(
    condition(node.get('web'), 'Initialized')?.message,
    'containers with incomplete status: [setup]',
  )
  await env.advance(800)
  assert.equal(phase(node.get('web')), 'Running')
  await env.advance(3000)
  assert.equal(phase(node.get('web')), 'Succeeded')
  const proxy = node.get('web')?.status?.initContainerStatuses?.[0]
  assert.ok(proxy?.state?.terminated, 'the sidecar has ended with what it served')
  await node.stop()
})
