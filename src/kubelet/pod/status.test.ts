import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Pod, PodStatus } from '#api'
import { after, container, exited, pod, runtimeOf, sandbox } from '../testing/pods.ts'
import { crashMessage } from './crash.ts'
import { type StatusInput, statusOf } from './status.ts'
import type { PodRuntime } from './pod-runtime.ts'

const status = (target: Pod, runtime: PodRuntime, more: Partial<StatusInput> = {}): PodStatus =>
  statusOf({
    pod: target,
    runtime,
    waiting: new Map(),
    readiness: () => 'success',
    startup: () => 'success',
    messages: new Map(),
    finished: false,
    actual: () => undefined,
    resize: [],
    nodeIps: ['192.168.0.1'],
    runtimeName: 'containerd',
    now: after(60),
    ...more,
  })
const condition = ({ conditions = [] }: PodStatus, type: string) =>
  conditions.find((each) => each.type === type)

test('a pod without containers is pending, and says what it waits for', () => {
  const result = status(pod(), runtimeOf([], []))
  assert.equal(result.phase, 'Pending')
  assert.equal(result.containerStatuses?.[0]?.state?.waiting?.reason, 'ContainerCreating')
  assert.equal(condition(result, 'PodReadyToStartContainers')?.status, 'False')
  assert.deepEqual(
    [condition(result, 'Ready')?.reason, condition(result, 'Ready')?.message],
    ['ContainersNotReady', 'containers with unready status: [app]'],
  )
  assert.equal(condition(result, 'Initialized')?.status, 'True')
  assert.equal(result.hostIP, '192.168.0.1')
})

test('a running pod is Running and Ready, with addresses, ids and start', () => {
  const result = status(pod(), runtimeOf([container('app')]))
  assert.equal(result.phase, 'Running')
  assert.equal(condition(result, 'Ready')?.status, 'True')
  assert.deepEqual(result.podIPs, [{ ip: '10.0.0.5' }])
  const [app] = result.containerStatuses ?? []
  assert.equal(app?.containerID, 'containerd://app-0')
  assert.equal(app?.state?.running?.startedAt, '2026-01-01T00:00:01Z')
  assert.equal(app?.started, true)
  assert.equal(result.startTime, '2026-01-01T00:01:00Z')
  assert.equal(result.qosClass, 'BestEffort')
})

test('a readiness failure takes ready away and leaves the phase', () => {
  const probed = pod({
    containers: [{ name: 'app', readinessProbe: { exec: { command: ['x'] } } }],
  })
  const result = status(probed, runtimeOf([container('app')]), { readiness: () => 'failure' })
  assert.equal(result.phase, 'Running')
  assert.equal(condition(result, 'Ready')?.status, 'False')
  assert.equal(result.containerStatuses?.[0]?.ready, false)
})

test('init containers that are not done are named', () => {
  const target = pod({
    initContainers: [
      { name: 'init1', image: 'i' },
      { name: 'init2', image: 'i' },
    ],
  })
  const result = status(target, runtimeOf())
  assert.equal(
    condition(result, 'Initialized')?.message,
    'containers with incomplete status: [init1 init2]',
  )
  assert.equal(result.containerStatuses?.[0]?.state?.waiting?.reason, 'PodInitializing')
  assert.equal(result.initContainerStatuses?.[1]?.state?.waiting?.reason, 'PodInitializing')
  const half = status(target, runtimeOf([exited('init1', 0)]))
  assert.equal(
    condition(half, 'Initialized')?.message,
    'containers with incomplete status: [init2]',
  )
})

test('a container in a crash loop waits, with its last end beside it, in a running pod', () => {
  const target = pod()
  const waiting = new Map([['app', crashMessage(target, { name: 'app' }, 10_000)]])
  const result = status(target, runtimeOf([exited('app', 3, { attempt: 1 })]), { waiting })
  const [app] = result.containerStatuses ?? []
  assert.equal(app?.state?.waiting?.reason, 'CrashLoopBackOff')
  assert.equal(
    app?.state?.waiting?.message,
    'back-off 10s restarting failed container=app pod=web_shop(uid-1)',
  )
  assert.equal(app?.lastState?.terminated?.exitCode, 3)
  assert.equal(app?.restartCount, 1)
  assert.equal(result.phase, 'Running')
})

test('a container that runs again shows how it ended before', () => {
  const runtime = runtimeOf([exited('app', 1), container('app', { attempt: 1 })])
  const [app] = status(pod(), runtime).containerStatuses ?? []
  assert.equal(app?.lastState?.terminated?.reason, 'Error')
  assert.ok(app?.state?.running)
})

for (const { policy, codes, phase } of [
  { policy: 'Never', codes: [0, 0], phase: 'Succeeded' },
  { policy: 'Never', codes: [0, 1], phase: 'Failed' },
  { policy: 'OnFailure', codes: [0, 0], phase: 'Succeeded' },
  { policy: 'OnFailure', codes: [0, 1], phase: 'Running' },
  { policy: 'Always', codes: [0, 0], phase: 'Running' },
] as const) {
  test(`ends ${codes.join(' and ')} make a pod with ${policy} ${phase}`, () => {
    const target = pod({ restartPolicy: policy, containers: [{ name: 'a' }, { name: 'b' }] })
    const result = status(target, runtimeOf([exited('a', codes[0]), exited('b', codes[1])]))
    assert.equal(result.phase, phase)
  })
}

test('a pod that succeeded says so in its conditions', () => {
  const result = status(pod({ restartPolicy: 'Never' }), runtimeOf([exited('app', 0)]))
  assert.equal(condition(result, 'Ready')?.reason, 'PodCompleted')
  assert.equal(condition(result, 'ContainersReady')?.status, 'False')
})

test('a pod fails when an init container fails and nothing is tried again', () => {
  const target = pod({ restartPolicy: 'Never', initContainers: [{ name: 'setup', image: 'i' }] })
  assert.equal(status(target, runtimeOf([exited('setup', 1)])).phase, 'Failed')
})

test('in a pod that is over nothing waits, but for what never had its turn', () => {
  const running = status(pod({ restartPolicy: 'Never' }), runtimeOf([container('app')]))
  // The machine came back, and the runtime has nothing any more.
  const lost = status(pod({ restartPolicy: 'Never', status: running }), runtimeOf([], []))
  assert.equal(lost.phase, 'Failed')
  const [app] = lost.containerStatuses ?? []
  assert.deepEqual([app?.state?.waiting, app?.ready], [undefined, false])
  assert.deepEqual(app?.state?.terminated, {
    exitCode: 137,
    reason: 'ContainerStatusUnknown',
    message: 'The container could not be located when the pod was terminated',
  })
  // One that is tried again waits.
  const again = status(pod({ status: running }), runtimeOf([], []))
  assert.equal(again.containerStatuses?.[0]?.state?.waiting?.reason, 'ContainerCreating')
  assert.equal(again.containerStatuses[0].restartCount, 1)
  const still = status(pod({ status: again }), runtimeOf([], []))
  assert.equal(still.containerStatuses?.[0]?.restartCount, 1)

  const failed = { reason: 'DeadlineExceeded', message: 'late' }
  const late = status(pod(), runtimeOf([], []), { failed, finished: true })
  assert.equal(late.containerStatuses?.[0]?.state?.terminated?.exitCode, 137)
  const initContainers = [
    { name: 'one', image: 'i' },
    { name: 'two', image: 'i' },
  ]
  const unprepared = status(
    pod({ restartPolicy: 'Never', initContainers }),
    runtimeOf([exited('one', 1)]),
    { finished: true },
  )
  assert.deepEqual(
    [...(unprepared.initContainerStatuses ?? []), ...(unprepared.containerStatuses ?? [])].map(
      ({ state }) => state?.waiting?.reason ?? state?.terminated?.exitCode,
    ),
    [1, 'PodInitializing', 'PodInitializing'],
  )
})

test('a last phase is never taken back', () => {
  const target = pod({ status: { phase: 'Failed', reason: 'Evicted' } })
  const result = status(target, runtimeOf([container('app')]))
  assert.equal(result.phase, 'Failed')
  assert.equal(result.reason, 'Evicted')
})

test('times of conditions change with their status only, and those of others stay', () => {
  const first = status(pod(), runtimeOf([container('app')]))
  const foreign = { type: 'example.com/gate', status: 'True' }
  const published = { ...first, conditions: [...(first.conditions ?? []), foreign] }
  const second = status(pod({ status: published }), runtimeOf([container('app')]), {
    now: after(120),
  })
  assert.deepEqual(second, published)
})

test('a readiness gate holds a pod back until its condition is true', () => {
  const target = pod({ readinessGates: [{ conditionType: 'example.com/gate' }] })
  const result = status(target, runtimeOf([container('app')]))
  assert.equal(condition(result, 'ContainersReady')?.status, 'True')
  assert.equal(condition(result, 'Ready')?.reason, 'ReadinessGatesNotReady')
  const open = { ...target, status: { conditions: [{ type: 'example.com/gate', status: 'True' }] } }
  assert.equal(condition(status(open, runtimeOf([container('app')])), 'Ready')?.status, 'True')
})

test('an image that cannot be pulled is the reason of the wait', () => {
  const waiting = new Map([['app', { reason: 'ImagePullBackOff', message: 'Back-off pulling' }]])
  const result = status(pod(), runtimeOf(), { waiting })
  assert.equal(result.containerStatuses?.[0]?.state?.waiting?.reason, 'ImagePullBackOff')
  assert.equal(result.phase, 'Pending')
})

test('a stopped sandbox keeps the address that the pod had', () => {
  const had = pod({ status: { podIP: '10.0.0.5', podIPs: [{ ip: '10.0.0.5' }] } })
  const result = status(had, runtimeOf([], [sandbox({ state: 'notReady', ips: [] })]))
  assert.equal(result.podIP, '10.0.0.5')
})

test('a sidecar counts for readiness and not for the phase', () => {
  const target = pod({
    restartPolicy: 'Never',
    initContainers: [{ name: 'proxy', image: 'i', restartPolicy: 'Always' }],
  })
  const running = status(target, runtimeOf([container('proxy'), container('app')]))
  assert.equal(condition(running, 'Ready')?.status, 'True')
  const done = status(target, runtimeOf([container('proxy'), exited('app', 0)]))
  assert.equal(done.phase, 'Succeeded')
})
