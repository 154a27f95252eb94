import assert from 'node:assert/strict'
import { test } from 'node:test'
import { container, pod, pods, type Part } from './pod.testing.ts'

test('a running pod changes its image, and nothing else of its containers', () => {
  const old = pod()
  assert.deepEqual(
    pods.updateErrors(pod({ containers: [container({ image: 'nginx:1.28' })] }), old),
    [],
  )
  const [message = ''] = pods.updateErrors(
    pod({ containers: [container({ command: ['x'] })] }),
    old,
  )
  assert.match(
    message,
    /^spec: Forbidden: pod updates may not change fields other than `spec\.containers\[\*\]\.image`,`spec\.initContainers\[\*\]\.image`,`spec\.activeDeadlineSeconds`,`spec\.tolerations` \(only additions to existing tolerations\),`spec\.terminationGracePeriodSeconds` \(allow it to be set to 1 if it was previously negative\)\n/,
  )
  assert.match(message, /\n- {3}"Command": null,\n\+ {3}"Command": \[\n\+ {4}"x"\n/)
  assert.deepEqual(pods.updateErrors(pod({ containers: [container(), container()] }), old), [
    'spec.containers: Forbidden: pod updates may not add or remove containers',
  ])
})

test('tolerations are only added, deadlines only shortened', () => {
  const toleration = { key: 'a', operator: 'Exists' }
  assert.deepEqual(pods.updateErrors(pod({ tolerations: [toleration] }), pod()), [])
  assert.deepEqual(pods.updateErrors(pod(), pod({ tolerations: [toleration] })), [
    'spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds',
  ])
  assert.deepEqual(
    pods.updateErrors(pod({ activeDeadlineSeconds: 20 }), pod({ activeDeadlineSeconds: 10 })),
    ['spec.activeDeadlineSeconds: Invalid value: 20: must be less than or equal to previous value'],
  )
})

test('gates are removed, and none is added', () => {
  const gated = pod({ schedulingGates: [{ name: 'a' }, { name: 'b' }] })
  assert.deepEqual(pods.updateErrors(pod({ schedulingGates: [{ name: 'b' }] }), gated), [])
  assert.deepEqual(pods.updateErrors(gated, pod({ schedulingGates: [{ name: 'a' }] })), [
    "spec.schedulingGates[1].name: Forbidden: only deletion is allowed, but found new scheduling gate 'b'",
  ])
  const narrow = pod({ schedulingGates: [{ name: 'a' }, { name: 'b' }], nodeSelector: { z: '1' } })
  assert.deepEqual(pods.updateErrors(narrow, gated), [])
  assert.equal(pods.updateErrors(gated, narrow).length, 1)
})

test('a new pod is pending, in the class its resources say', () => {
  const statusOf = (spec: Part) =>
    pods.created(pod(spec, { status: { phase: 'Running' } }))['status']
  assert.deepEqual(statusOf({}), { phase: 'Pending', qosClass: 'BestEffort' })
  const resources = { limits: { cpu: '1', memory: '1Gi' } }
  assert.deepEqual(statusOf({ containers: [container({ resources })] }), {
    phase: 'Pending',
    qosClass: 'Guaranteed',
  })
  assert.deepEqual(
    statusOf({ containers: [container({ resources: { requests: { cpu: '1' } } })] }),
    { phase: 'Pending', qosClass: 'Burstable' },
  )
})

test('ephemeral containers are for pods that exist', () => {
  const spec = { ephemeralContainers: [container({ name: 'debug' })] }
  assert.deepEqual(pods.errors(pod(spec)), [
    'spec.ephemeralContainers: Forbidden: cannot be set on create',
  ])
  const added = pods.updated(pod({ ...spec, nodeName: 'other' }), pod(), 'ephemeralcontainers')
  assert.equal((added['spec'] as Part)['nodeName'], undefined)
  assert.equal(((added['spec'] as Part)['ephemeralContainers'] as Part[]).length, 1)
  assert.deepEqual(pods.updateErrors(pod(), pod(spec), 'ephemeralcontainers'), [
    'spec.ephemeralContainers: Forbidden: existing ephemeral containers "debug" may not be removed',
  ])
})

test('the status endpoint leaves the spec, and the other one the status', () => {
  const old = pod({}, { status: { phase: 'Pending', qosClass: 'BestEffort' } })
  const asked = pod({ nodeName: 'n2' }, { status: { phase: 'Running' } })
  const byStatus = pods.updated(asked, old, 'status')
  assert.equal((byStatus['spec'] as Part)['nodeName'], undefined)
  assert.deepEqual(byStatus['status'], { phase: 'Running', qosClass: 'BestEffort' })
  assert.deepEqual(pods.updated(asked, old)['status'], { phase: 'Pending', qosClass: 'BestEffort' })
})

test('a pod that does not run is not waited for', () => {
  const grace = (spec: Part, phase: string, requested?: number) =>
    pods.definition.graceSeconds(
      pods.defaulted(pod(spec, { status: { phase } })) as never,
      requested,
    )
  assert.equal(grace({}, 'Pending'), 0)
  assert.equal(grace({ nodeName: 'n' }, 'Running'), 30)
  assert.equal(grace({ nodeName: 'n' }, 'Running', 5), 5)
  assert.equal(grace({ nodeName: 'n' }, 'Running', -3), 1)
  assert.equal(grace({ nodeName: 'n' }, 'Succeeded'), 0)
})
