import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pods } from '#api'
import { virtualEnv } from '#base'
import { simulatedRuntime } from './simulated/index.ts'
import { startTestNode } from './testing/node.ts'
import { condition, first, phase, started, world } from './kubelet.testing.ts'

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

test('a simulated container answers probes of its ports, since nothing can listen on them', async () => {
  const { env, node } = await world()
  const ports = [{ name: 'http', containerPort: 80 }]
  const httpGet = { path: '/', port: 'http' }
  const [often, soon] = [{ periodSeconds: 1 }, { periodSeconds: 1, failureThreshold: 1 }]
  const containers = [
    {
      name: 'app',
      ports,
      readinessProbe: { httpGet, ...often },
      livenessProbe: { tcpSocket: { port: 80 }, ...soon },
      startupProbe: { grpc: { port: 80 }, ...often },
      lifecycle: { postStart: { httpGet } },
    },
  ]
  node.create(started('web', { containers }))
  node.create(
    started('astray', {
      containers: [{ name: 'app', readinessProbe: { httpGet: { port: 'ftp' }, ...often } }],
    }),
  )
  await env.advance(10_000)
  assert.equal(condition(node.get('web'), 'Ready')?.status, 'True')
  assert.equal(first(node.get('web'))?.restartCount, 0)
  assert.equal(condition(node.get('astray'), 'Ready')?.status, 'False')
  assert.match(node.events('astray').join('\n'), /couldn't find port: ftp/)
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
