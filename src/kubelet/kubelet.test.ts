import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type VirtualEnv, virtualEnv } from '#base'
import { type Pod, configMaps, leases, nodes, pods } from '#api'
import { SIMULATION, simulatedRuntime } from './simulated/index.ts'
import { type PodOptions, pod } from './testing/pods.ts'
import { type TestNode, startTestNode } from './testing/node.ts'
import type { KubeletSettings } from './kubelet.ts'

interface World {
  readonly env: VirtualEnv
  readonly node: TestNode
}

async function world(config: Partial<KubeletSettings> = {}): Promise<World> {
  const env = virtualEnv()
  const node = await startTestNode(env, simulatedRuntime(env), config)
  await env.advance(500)
  await node.kubelet.ready
  return { env, node }
}

const phase = (target: Pod | undefined) => target?.status?.phase
const condition = (target: Pod | undefined, type: string) =>
  target?.status?.conditions?.find((each) => each.type === type)
const first = (target: Pod | undefined) => target?.status?.containerStatuses?.[0]
const started = (name: string, options: PodOptions = {}) =>
  pod({ ...options, metadata: { ...options.metadata, name } })

test('the node registers, is Ready, has its capacity, and renews its lease', async () => {
  const { env, node } = await world({ reserved: { cpu: '200m', memory: '256Mi' } })
  const n1 = node.api.store.get(nodes, { name: 'n1' })
  assert.equal(n1?.status?.conditions?.find(({ type }) => type === 'Ready')?.status, 'True')
  assert.equal(n1?.status?.capacity?.['cpu'], '4')
  assert.equal(n1?.status?.allocatable?.['cpu'], '3800m')
  assert.equal(n1?.metadata.labels?.['kubernetes.io/hostname'], 'n1')
  const renewed = () =>
    node.api.store.get(leases, { namespace: 'kube-node-lease', name: 'n1' })?.spec?.renewTime
  const before = renewed()
  await env.advance(10_000)
  assert.notEqual(renewed(), before)
  await node.stop()
})

test('heartbeats leave the node object alone when nothing has changed', async () => {
  const { env, node } = await world()
  await env.advance(1000)
  const version = () => node.api.store.get(nodes, { name: 'n1' })?.metadata.resourceVersion
  const before = version()
  await env.advance(60_000)
  assert.equal(version(), before)
  await env.advance(300_000)
  assert.notEqual(version(), before)
  await node.stop()
})

test('a node that was called silent says at once that it is ready', async () => {
  const { env, node } = await world()
  const { store } = node.api
  const unknown = { status: 'Unknown', reason: 'NodeStatusUnknown', message: 'silent' }
  const n1 = store.get(nodes, { name: 'n1' })
  store.patch(
    nodes,
    { name: 'n1' },
    {
      contentType: 'application/merge-patch+json',
      patch: { status: { conditions: n1?.status?.conditions?.map((c) => ({ ...c, ...unknown })) } },
      subresource: 'status',
    },
  )
  await env.advance(1000)
  const conditions = store.get(nodes, { name: 'n1' })?.status?.conditions ?? []
  assert.deepEqual(
    conditions.map(({ type, status }) => `${type}=${status}`),
    ['MemoryPressure=False', 'DiskPressure=False', 'PIDPressure=False', 'Ready=True'],
  )
  await node.stop()
})

test("what others write into the part of the status that is the node's is put right", async () => {
  const { env, node } = await world()
  node.api.store.patch(
    nodes,
    { name: 'n1' },
    {
      contentType: 'application/merge-patch+json',
      patch: { status: { capacity: { cpu: '1000' } } },
      subresource: 'status',
    },
  )
  await env.advance(11_000)
  assert.equal(node.api.store.get(nodes, { name: 'n1' })?.status?.capacity?.['cpu'], '4')
  await node.stop()
})

test('extended resources that others put on the node stay', async () => {
  const { env, node } = await world()
  node.api.store.patch(
    nodes,
    { name: 'n1' },
    {
      contentType: 'application/merge-patch+json',
      patch: {
        status: { capacity: { 'example.com/gpu': '2' }, allocatable: { 'example.com/gpu': '2' } },
      },
      subresource: 'status',
    },
  )
  await env.advance(600_000)
  assert.equal(
    node.api.store.get(nodes, { name: 'n1' })?.status?.capacity?.['example.com/gpu'],
    '2',
  )
  await node.stop()
})

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

test('the kubelet counts what it asks of the runtime, what it started, and its probes', async () => {
  const { env, node } = await world()
  const probe = { exec: { command: ['true'] }, periodSeconds: 1 }
  node.create(
    started('web', { containers: [{ name: 'app', image: 'web:1', readinessProbe: probe }] }),
  )
  await env.advance(3500)
  const page = async (path: string): Promise<string> => {
    const found = await node.kubelet.nodeApi.page(path, '')
    return Buffer.from(found?.body ?? []).toString()
  }
  const own = await page('/metrics')
  for (const line of [
    'kubelet_runtime_operations_total{operation_type="run_podsandbox"} 1',
    'kubelet_runtime_operations_total{operation_type="start_container"} 1',
    'kubelet_runtime_operations_duration_seconds_count{operation_type="create_container"} 1',
    'kubelet_started_containers_total{container_type="container"} 1',
    'kubelet_pod_start_duration_seconds_count 1',
    'kubelet_running_pods 1',
  ])
    assert.ok(own.includes(`${line}\n`), `${line}\n${own}`)
  assert.match(
    await page('/metrics/probes'),
    /^prober_probe_total\{container="app",namespace="shop",pod="web",pod_uid="[^"]+",probe_type="Readiness",result="successful"\} [34]$/m,
  )
  const containers = await page('/metrics/cadvisor')
  assert.match(
    containers,
    /^container_memory_working_set_bytes\{container="app",id="[^"]+",image="web:1",name="[^"]+",namespace="shop",pod="web"\} \d+$/m,
  )
  assert.match(containers, /^machine_cpu_cores\{boot_id="[^}]+"\} 4$/m)
  await node.stop()
})

test('probes: a failing readiness takes Ready, a failing liveness restarts', async () => {
  const { env, node } = await world()
  node.create(
    started('web', {
      containers: [
        { name: 'a', readinessProbe: { exec: { command: ['false'] }, periodSeconds: 1 } },
        {
          name: 'b',
          livenessProbe: { exec: { command: ['false'] }, periodSeconds: 1, failureThreshold: 2 },
        },
      ],
    }),
  )
  await env.advance(500)
  assert.equal(phase(node.get('web')), 'Running')
  assert.equal(condition(node.get('web'), 'Ready')?.message, 'containers with unready status: [a]')
  await env.advance(2000)
  assert.equal(node.get('web')?.status?.containerStatuses?.[1]?.restartCount, 1)
  const text = node.events('web').join('\n')
  assert.match(text, /Unhealthy: Readiness probe failed/)
  assert.match(text, /Killing: Container b failed liveness probe, will be restarted/)
  await node.stop()
})

test('a startup probe holds the others back until it succeeds', async () => {
  const { env, node } = await world()
  node.create(
    started('web', {
      containers: [
        {
          name: 'app',
          startupProbe: { exec: { command: ['false'] }, periodSeconds: 1, failureThreshold: 5 },
          livenessProbe: { exec: { command: ['false'] }, periodSeconds: 1, failureThreshold: 1 },
        },
      ],
    }),
  )
  await env.advance(3000)
  assert.equal(first(node.get('web'))?.started, false)
  assert.equal(first(node.get('web'))?.restartCount, 0)
  await env.advance(3000)
  assert.match(node.events('web').join('\n'), /failed startup probe, will be restarted/)
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

test('a pod that asks for a label the node got a moment ago is not rejected', async () => {
  const { env, node } = await world()
  await env.advance(1000)
  node.api.store.patch(
    nodes,
    { name: 'n1' },
    {
      contentType: 'application/merge-patch+json',
      patch: { metadata: { labels: { colour: 'blue' } } },
    },
  )
  node.create(started('blue', { nodeSelector: { colour: 'blue' } }))
  node.create(started('red', { nodeSelector: { colour: 'red' } }))
  await env.advance(500)
  assert.equal(phase(node.get('blue')), 'Running')
  assert.equal(node.get('red')?.status?.reason, 'NodeAffinity')
  assert.equal(node.get('red')?.status?.containerStatuses, undefined)
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

test('a hundred pods run within seconds, and idle costs nothing but leases', async () => {
  const { env, node } = await world()
  for (let index = 0; index < 100; index++) node.create(started(`web-${index}`))
  await env.advance(5000)
  const running = node.api.store.list<Pod>(pods).filter((each) => phase(each) === 'Running')
  assert.equal(running.length, 100)
  const before = node.api.requests.length
  await env.advance(60_000)
  const writes = node.api.requests.slice(before).filter(({ method }) => method !== 'GET')
  assert.ok(
    writes.every(({ path }) => path.includes('/leases/')),
    writes.map(({ path }) => path).join('\n'),
  )
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

test('a container runs for others only when the hook after its start has ended', async () => {
  const { env, node } = await world()
  const lifecycle = { postStart: { sleep: { seconds: 5 } } }
  node.create(started('web', { containers: [{ name: 'app', lifecycle }] }))
  await env.advance(2000)
  assert.equal(first(node.get('web'))?.state?.waiting?.reason, 'ContainerCreating')
  assert.deepEqual(
    [phase(node.get('web')), condition(node.get('web'), 'Ready')?.status],
    ['Pending', 'False'],
  )
  await env.advance(4000)
  assert.ok(first(node.get('web'))?.state?.running)
  assert.equal(condition(node.get('web'), 'Ready')?.status, 'True')
  await node.stop()
})

test('a failed hook is told in an event without what it said, and in the status with it', async () => {
  const env = virtualEnv()
  const runtime = simulatedRuntime(env)
  const failing = Object.assign(runtime, {
    execSync: () =>
      Promise.resolve({
        exitCode: 3,
        stdout: Buffer.from('asked with password\n'),
        stderr: Buffer.from('refused'),
      }),
  })
  const node = await startTestNode(env, failing)
  await env.advance(500)
  const exec = { command: ['sh', '-c', 'curl x'] }
  const lifecycle = { postStart: { exec } }
  node.create(started('ends', { containers: [{ name: 'app', lifecycle: { preStop: { exec } } }] }))
  await env.advance(500)
  const { namespace = '' } = node.get('ends')?.metadata ?? {}
  node.api.store.delete(pods, { namespace, name: 'ends' })
  node.create(started('web', { containers: [{ name: 'app', lifecycle }] }))
  const seen = new Map<string, string | undefined>()
  for (let i = 0; i < 30; i++) {
    await env.advance(50)
    const waiting = first(node.get('web'))?.state?.waiting
    if (waiting !== undefined) seen.set(waiting.reason ?? '', waiting.message)
  }
  const about = (name: string) => node.events(name).filter((text) => text.startsWith('Failed'))
  assert.equal(about('web')[0], 'FailedPostStartHook: PostStartHook failed')
  assert.deepEqual(about('ends'), ['FailedPreStopHook: PreStopHook failed'])
  const uid = node.get('web')?.metadata.uid
  assert.equal(
    seen.get('PostStartHookError'),
    `Exec lifecycle hook ([sh -c curl x]) for Container "app" in Pod "web_${namespace}(${uid})" failed - error: command 'sh -c curl x' exited with 3: refused, message: "asked with password\\nrefused"`,
  )
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
