import assert from 'node:assert/strict'
import { test } from 'node:test'
import { NOW } from '../../definitions.testing.ts'
import { container, pod, pods, running, state, type Part } from './pod.testing.ts'

test('one word says how a pod is', () => {
  const deletionTimestamp = '2026-01-02T03:04:00Z'
  const two = { containers: [container(), container({ name: 'b' })] }
  const init = { ...two, initContainers: [container({ name: 'i0' }), container({ name: 'i1' })] }
  const sidecar = { ...two, initContainers: [container({ name: 's', restartPolicy: 'Always' })] }
  const waiting = (reason: string) => ({ state: { waiting: { reason } } })
  const done = { state: { terminated: { exitCode: 0, reason: 'Completed' } } }
  const cases: readonly (readonly [string, string, Part, Part, Part?])[] = [
    ['Pending', '0/2', two, { phase: 'Pending' }],
    [
      'Running',
      '1/2',
      two,
      {
        phase: 'Running',
        containerStatuses: [
          state('app', { state: running, ready: true }),
          state('b', { state: running }),
        ],
      },
    ],
    [
      'CrashLoopBackOff',
      '0/2',
      two,
      { phase: 'Running', containerStatuses: [state('app', waiting('CrashLoopBackOff'))] },
    ],
    ['Completed', '0/2', two, { phase: 'Succeeded', containerStatuses: [state('app', done)] }],
    [
      'NotReady',
      '1/2',
      two,
      {
        phase: 'Running',
        containerStatuses: [state('app', done), state('b', { state: running, ready: true })],
      },
    ],
    [
      'ExitCode:3',
      '0/2',
      two,
      {
        phase: 'Failed',
        containerStatuses: [state('app', { state: { terminated: { exitCode: 3 } } })],
      },
    ],
    [
      'Signal:9',
      '0/2',
      two,
      {
        phase: 'Failed',
        containerStatuses: [state('app', { state: { terminated: { exitCode: 137, signal: 9 } } })],
      },
    ],
    [
      'Init:1/2',
      '0/2',
      init,
      {
        phase: 'Pending',
        initContainerStatuses: [state('i0', done), state('i1', { state: running })],
      },
    ],
    [
      'Init:Error',
      '0/2',
      init,
      {
        phase: 'Pending',
        initContainerStatuses: [
          state('i0', { state: { terminated: { exitCode: 1, reason: 'Error' } } }),
        ],
      },
    ],
    [
      'Init:CrashLoopBackOff',
      '0/2',
      init,
      { phase: 'Pending', initContainerStatuses: [state('i0', waiting('CrashLoopBackOff'))] },
    ],
    [
      'PodInitializing',
      '1/3',
      sidecar,
      {
        phase: 'Pending',
        initContainerStatuses: [state('s', { state: running, started: true, ready: true })],
        containerStatuses: [state('app', waiting('PodInitializing'))],
      },
    ],
    [
      'SchedulingGated',
      '0/2',
      two,
      {
        phase: 'Pending',
        conditions: [{ type: 'PodScheduled', status: 'False', reason: 'SchedulingGated' }],
      },
    ],
    ['Evicted', '0/2', two, { phase: 'Failed', reason: 'Evicted' }],
    ['Terminating', '0/2', two, { phase: 'Running' }, { deletionTimestamp }],
    ['Unknown', '0/2', two, { phase: 'Running', reason: 'NodeLost' }, { deletionTimestamp }],
  ]
  for (const [word, ready, spec, status, metadata = {}] of cases) {
    const row = pods.row(pod(spec, { status, metadata }))
    assert.deepEqual([row['Status'], row['Ready']], [word, ready], word)
  }
})

test('a row tells of restarts, age and place', () => {
  const row = pods.row(
    pod(
      { nodeName: 'n1', readinessGates: [{ conditionType: 'a/b' }] },
      {
        metadata: { creationTimestamp: '2026-01-02T00:04:05Z' },
        status: {
          phase: 'Running',
          podIPs: [{ ip: '10.0.0.7' }],
          conditions: [{ type: 'a/b', status: 'True' }],
          containerStatuses: [
            state('app', {
              restartCount: 3,
              state: running,
              ready: true,
              lastState: {
                terminated: {
                  exitCode: 1,
                  finishedAt: new Date(NOW.getTime() - 300_000).toISOString(),
                },
              },
            }),
          ],
        },
      },
    ),
  )
  assert.deepEqual(row, {
    Name: 'x',
    Ready: '1/1',
    Status: 'Running',
    Restarts: '3 (5m ago)',
    Age: '3h',
    IP: '10.0.0.7',
    Node: 'n1',
    'Nominated Node': '<none>',
    'Readiness Gates': '1/1',
  })
})
