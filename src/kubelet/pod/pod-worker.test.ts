import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { pod } from '../testing/pods.ts'
import { type PodEvent, type PodWorker, newWorker, step } from './pod-worker.ts'

const deleted = pod({ metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' } })
const stop = (graceSeconds: number, nowMs = 0): PodEvent => ({
  type: 'stopRequested',
  pod: deleted,
  graceSeconds,
  nowMs,
  why: { type: 'deleted' },
})

test('a pod that stops is killed, cleaned up, and released, in this order', () => {
  const [terminating, ...first] = step(newWorker(pod()), stop(30))
  assert.deepEqual(first, [{ type: 'kill', graceSeconds: 30 }])
  const [terminated, ...second] = step(terminating, { type: 'containersStopped' })
  assert.deepEqual(second, [{ type: 'cleanUp' }])
  const [, ...third] = step(terminated, { type: 'cleanedUp' })
  assert.deepEqual(third, [{ type: 'release' }])
})

test('a second request may shorten the wait', () => {
  const [terminating] = step(newWorker(pod()), stop(30))
  const [, ...effects] = step(terminating, stop(5, 1000))
  assert.deepEqual(effects, [{ type: 'kill', graceSeconds: 5 }])
})

test('a second request never lengthens the wait', () => {
  const [terminating] = step(newWorker(pod()), stop(30))
  const [, ...effects] = step(terminating, stop(60, 10_000))
  assert.deepEqual(effects, [])
})

test('a pod that completed is released only when it is deleted', () => {
  const completed: PodEvent = {
    type: 'stopRequested',
    pod: pod(),
    graceSeconds: 30,
    nowMs: 0,
    why: { type: 'completed' },
  }
  let worker: PodWorker = step(newWorker(pod()), completed)[0]
  worker = step(worker, { type: 'containersStopped' })[0]
  const [cleaned, ...effects] = step(worker, { type: 'cleanedUp' })
  assert.deepEqual(effects, [])
  assert.deepEqual(step(cleaned, stop(0)).slice(1), [{ type: 'release' }])
})

test('no sequence of events takes a worker back, nor syncs one that stops', () => {
  const order = { syncing: 0, terminating: 1, terminated: 2 }
  const event = fc.oneof(
    fc.constant<PodEvent>({ type: 'updated', pod: pod() }),
    fc.nat(60).map((grace) => stop(grace)),
    fc.constant<PodEvent>({ type: 'containersStopped' }),
    fc.constant<PodEvent>({ type: 'cleanedUp' }),
  )
  fc.assert(
    fc.property(fc.array(event), (events) => {
      let worker = newWorker(pod())
      for (const each of events) {
        const [next, ...effects] = step(worker, each)
        assert.ok(order[next.phase] >= order[worker.phase])
        if (next.phase !== 'syncing') assert.ok(!effects.some(({ type }) => type === 'sync'))
        worker = next
      }
    }),
  )
})
