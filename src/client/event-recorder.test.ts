import assert from 'node:assert/strict'
import { test } from 'node:test'
import { virtualEnv } from '#base'
import type { KubeObject } from '#machinery'
import type { Client } from './client.ts'
import { createEventRecorder } from './event-recorder.ts'

const pod: KubeObject = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { namespace: 'shop', name: 'web', uid: 'u1', resourceVersion: '7' },
} as KubeObject

function setUp() {
  const env = virtualEnv()
  const created: Record<string, unknown>[] = []
  const patched: unknown[] = []
  const client = {
    create: async (_: unknown, event: Record<string, unknown>) => void created.push(event),
    patch: async (_: unknown, __: unknown, ___: unknown, patch: unknown) =>
      void patched.push(patch),
  } as unknown as Client
  const recorder = createEventRecorder(client, env, { component: 'scheduler', host: 'box' })
  return { env, created, patched, recorder }
}

test('the same event again is counted on the old one', async () => {
  const { env, created, patched, recorder } = setUp()
  recorder.event(pod, 'Warning', 'Failed', 'no image')
  await env.advance(2500)
  recorder.event(pod, 'Warning', 'Failed', 'no image')
  recorder.event(pod, 'Warning', 'Failed', 'no memory')
  await env.advance(1)
  assert.equal(created.length, 2)
  const [first] = created
  assert.deepEqual(first?.['source'], { component: 'scheduler', host: 'box' })
  assert.equal(first?.['count'], 1)
  assert.equal(first?.['eventTime'], undefined)
  assert.match(String(first?.['firstTimestamp']), /:\d\dZ$/)
  const [again] = patched as [Record<string, unknown>]
  assert.equal(patched.length, 1)
  assert.equal(again['count'], 2)
  assert.equal(again['message'], 'no image')
})

test('with an action it has the newer form, counted in a series that says the newest', async () => {
  const { env, created, patched, recorder } = setUp()
  const action = 'Scheduling'
  recorder.event(pod, 'Warning', 'FailedScheduling', '0/1 nodes', { action, related: pod })
  await env.advance(2500)
  recorder.event(pod, 'Warning', 'FailedScheduling', '0/2 nodes', { action })
  await env.advance(1)
  const [event] = created
  assert.equal(created.length, 1)
  assert.equal(event?.['action'], 'Scheduling')
  assert.equal(event?.['reportingComponent'], 'scheduler')
  assert.equal(event?.['reportingInstance'], 'scheduler-box')
  assert.match(String(event?.['eventTime']), /\.\d{6}Z$/)
  for (const field of ['source', 'count', 'firstTimestamp', 'lastTimestamp'])
    assert.equal(event?.[field], undefined, field)
  assert.deepEqual(event?.['related'], event?.['involvedObject'])
  const [again] = patched as [{ series: Record<string, unknown>; message: string }]
  assert.equal(again.series['count'], 2)
  assert.match(String(again.series['lastObservedTime']), /\.\d{6}Z$/)
  assert.equal(again.message, '0/2 nodes')
})
