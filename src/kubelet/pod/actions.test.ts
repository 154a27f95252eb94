import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Pod } from '#api'
import { container, exited, pod, runtimeOf, sandbox } from '../testing/pods.ts'
import { type PodActions, type ProbeResults, computeActions, isIdle } from './actions.ts'
import type { PodRuntime } from './pod-runtime.ts'

const healthy: ProbeResults = { liveness: () => 'success', startup: () => 'success' }
const plan = (
  target: Pod,
  runtime: PodRuntime,
  probes = healthy,
  counts = new Map<string, number>(),
): PodActions => computeActions(target, runtime, probes, counts)
const started = ({ start }: PodActions) =>
  start.map((each) => `${each.container.name}#${each.attempt}`)
const killed = ({ kill }: PodActions) => kill.map((each) => `${each.container.id}:${each.reason}`)

test('a new pod gets a sandbox before anything else', () => {
  const actions = plan(pod(), runtimeOf([], []))
  assert.equal(actions.createSandbox, 0)
  assert.deepEqual(started(actions), [])
})

test('with a sandbox all containers start in order', () => {
  const actions = plan(pod({ containers: [{ name: 'a' }, { name: 'b' }] }), runtimeOf())
  assert.deepEqual(started(actions), ['a#0', 'b#0'])
})

test('a pod that runs as it should is left alone', () => {
  assert.ok(isIdle(plan(pod(), runtimeOf([container('app')]))))
})

test('nothing starts in a pod that is being deleted', () => {
  const deleted = pod({ metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' } })
  assert.ok(isIdle(plan(deleted, runtimeOf([], []))))
})

test('a dead sandbox is replaced after what ran in it was killed', () => {
  const dead = [sandbox({ state: 'notReady' })]
  const first = plan(pod(), runtimeOf([container('app')], dead))
  assert.deepEqual(killed(first), ['app-0:sandbox'])
  assert.equal(first.createSandbox, undefined)
  assert.equal(plan(pod(), runtimeOf([exited('app', 137)], dead)).createSandbox, 1)
})

test('a sandbox that lost its address is stopped and replaced', () => {
  const actions = plan(pod(), runtimeOf([], [sandbox({ ips: [] })]))
  assert.deepEqual(actions.stopSandboxes, ['sandbox-0'])
  assert.equal(actions.createSandbox, 1)
})

test('a pod on the network of its node needs no address of its own', () => {
  const actions = plan(
    pod({ hostNetwork: true }),
    runtimeOf([container('app')], [sandbox({ network: 'NODE', ips: [] })]),
  )
  assert.ok(isIdle(actions))
})

test('a job that has done its work gets no new sandbox', () => {
  const actions = plan(
    pod({ restartPolicy: 'OnFailure' }),
    runtimeOf([exited('app', 0)], [sandbox({ state: 'notReady' })]),
  )
  assert.equal(actions.createSandbox, undefined)
})

for (const { policy, code, again } of [
  { policy: 'Always', code: 0, again: true },
  { policy: 'Always', code: 1, again: true },
  { policy: 'OnFailure', code: 0, again: false },
  { policy: 'OnFailure', code: 1, again: true },
  { policy: 'Never', code: 0, again: false },
  { policy: 'Never', code: 1, again: false },
] as const) {
  test(`a container that ended with ${code} ${again ? 'runs again' : 'stays ended'} under ${policy}`, () => {
    const actions = plan(pod({ restartPolicy: policy }), runtimeOf([exited('app', code)]))
    assert.deepEqual(started(actions), again ? ['app#1'] : [])
  })
}

test("a container's own policy goes before its pod's", () => {
  const target = pod({
    restartPolicy: 'Never',
    containers: [{ name: 'app', restartPolicy: 'OnFailure' }],
  })
  assert.deepEqual(started(plan(target, runtimeOf([exited('app', 1)]))), ['app#1'])
})

test('a restart rule brings back what ended with the exit code that it names', () => {
  const target = pod({
    restartPolicy: 'Never',
    containers: [
      {
        name: 'app',
        restartPolicy: 'Never',
        restartPolicyRules: [{ action: 'Restart', exitCodes: { operator: 'In', values: [42] } }],
      },
    ],
  })
  assert.deepEqual(started(plan(target, runtimeOf([exited('app', 42)]))), ['app#1'])
  assert.deepEqual(started(plan(target, runtimeOf([exited('app', 1)]))), [])
})

const initPod = pod({
  initContainers: [
    { name: 'first', image: 'busybox:1' },
    { name: 'second', image: 'busybox:1' },
  ],
})

test('init containers run one after another, and then the others', () => {
  assert.deepEqual(started(plan(initPod, runtimeOf())), ['first#0'])
  assert.deepEqual(started(plan(initPod, runtimeOf([container('first')]))), [])
  assert.deepEqual(started(plan(initPod, runtimeOf([exited('first', 0)]))), ['second#0'])
  const both = runtimeOf([exited('first', 0), exited('second', 0)])
  assert.deepEqual(started(plan(initPod, both)), ['app#0'])
})

test('a failed init container is tried again, except when nothing ever is', () => {
  assert.deepEqual(started(plan(initPod, runtimeOf([exited('first', 1)]))), ['first#1'])
  const never = { ...initPod, spec: { ...initPod.spec, restartPolicy: 'Never' as const } }
  assert.deepEqual(started(plan(never, runtimeOf([exited('first', 1)]))), [])
})

test('init containers run again in a new sandbox', () => {
  const runtime = runtimeOf(
    [exited('first', 0), exited('second', 0), exited('app', 137)],
    [
      sandbox({
        id: 'sandbox-1',
        metadata: { name: 'web', namespace: 'shop', uid: 'uid-1', attempt: 1 },
      }),
      sandbox({ state: 'notReady' }),
    ],
  )
  assert.deepEqual(started(plan(initPod, runtime)), ['first#1'])
})

test('init containers are done with once the others have begun, whatever the runtime has forgotten', () => {
  assert.ok(isIdle(plan(initPod, runtimeOf([container('app')]))))
})

const sidecarPod = pod({
  initContainers: [
    { name: 'proxy', image: 'busybox:1', restartPolicy: 'Always' },
    { name: 'setup', image: 'busybox:1' },
  ],
})

test('a sidecar starts, and the next one does not wait for its end', () => {
  assert.deepEqual(started(plan(sidecarPod, runtimeOf())), ['proxy#0'])
  assert.deepEqual(started(plan(sidecarPod, runtimeOf([container('proxy')]))), ['setup#0'])
})

test('what follows a sidecar waits until it has started up', () => {
  const probed = pod({
    initContainers: [
      {
        name: 'proxy',
        image: 'busybox:1',
        restartPolicy: 'Always',
        startupProbe: { exec: { command: ['true'] } },
      },
    ],
  })
  const runtime = runtimeOf([container('proxy')])
  const probes: ProbeResults = { ...healthy, startup: () => 'unknown' }
  assert.deepEqual(started(plan(probed, runtime, probes)), [])
  assert.deepEqual(started(plan(probed, runtime)), ['app#0'])
})

test('a sidecar that ended runs again beside the others', () => {
  const runtime = runtimeOf([exited('proxy', 0), exited('setup', 0), container('app')])
  assert.deepEqual(started(plan(sidecarPod, runtime)), ['proxy#1'])
})

test('a liveness failure kills, and a startup failure too', () => {
  const runtime = runtimeOf([container('app')])
  assert.deepEqual(killed(plan(pod(), runtime, { ...healthy, liveness: () => 'failure' })), [
    'app-0:liveness',
  ])
  assert.deepEqual(killed(plan(pod(), runtime, { ...healthy, startup: () => 'failure' })), [
    'app-0:startup',
  ])
})

test('another image means another container', () => {
  const target = pod({ containers: [{ name: 'app', image: 'busybox:2' }] })
  const actions = plan(target, runtimeOf([container('app')]))
  assert.deepEqual(killed(actions), ['app-0:changed'])
})

test('an ephemeral container runs once', () => {
  const target = pod({ ephemeralContainers: [{ name: 'debug', image: 'busybox:1' }] })
  assert.deepEqual(started(plan(target, runtimeOf([container('app')]))), ['debug#0'])
  assert.ok(isIdle(plan(target, runtimeOf([container('app'), exited('debug', 1)]))))
})

test('counts of restarts go on from the published status when the runtime has forgotten', () => {
  const actions = plan(pod(), runtimeOf(), healthy, new Map([['app', 4]]))
  assert.deepEqual(started(actions), ['app#5'])
})

test('bringing any pod to its wanted state comes to rest, and its attempts only grow', () => {
  const policy = fc.constantFrom('Always' as const, 'OnFailure' as const, 'Never' as const)
  const state = fc.constantFrom('absent', 'running', 'ok', 'failed')
  fc.assert(
    fc.property(
      policy,
      fc.array(state, { minLength: 3, maxLength: 3 }),
      (restartPolicy, states) => {
        const target = pod({
          restartPolicy,
          initContainers: [{ name: 'c0', image: 'busybox:1' }],
          containers: [{ name: 'c1' }, { name: 'c2' }],
        })
        let containers = states.flatMap((each, index) => {
          const name = `c${index}`
          if (each === 'absent') return []
          if (each === 'running') return [container(name)]
          return [exited(name, each === 'ok' ? 0 : 1)]
        })
        for (let round = 0; round < 10; round++) {
          const actions = plan(target, runtimeOf(containers))
          if (isIdle(actions)) return
          for (const {
            container: { name },
            attempt,
            kind,
          } of actions.start) {
            const last = Math.max(
              -1,
              ...containers.filter((c) => c.name === name).map((c) => c.attempt),
            )
            assert.ok(attempt > last)
            // Init containers succeed, the others run on.
            const made =
              kind === 'init' ? exited(name, 0, { attempt }) : container(name, { attempt })
            containers = [...containers, made]
          }
        }
        assert.fail('it never comes to rest')
      },
    ),
  )
})
