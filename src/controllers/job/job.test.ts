import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { events, jobs, pods, type Job, type Pod } from '#api'
import type { Draft } from '#machinery'
import { controllerOf } from '../framework/index.ts'
import { world, type World, type WorldOptions } from '../testing/world.ts'
import { formatIndexes, parseIndexes } from './indexes.ts'
import { jobController, jobPodFinalizerController } from './index.ts'

const key = { namespace: 'shop', name: 'pi' }
const pi = (spec: Partial<Job['spec']> = {}, more: object = {}): Draft<Job> => ({
  metadata: key,
  spec: {
    template: {
      spec: { restartPolicy: 'Never', containers: [{ name: 'main', image: 'pi:1' }], ...more },
    },
    ...spec,
  },
})
const running = (options?: WorldOptions) =>
  world([jobController, jobPodFinalizerController], options)
const statusOf = ({ store }: World) => store.get(jobs, key)?.status
const active = ({ store }: World): readonly Pod[] =>
  store
    .list(pods)
    .filter(({ status, metadata }) => status?.phase === 'Running' && !metadata.deletionTimestamp)
const conditions = (w: World): readonly string[] =>
  (statusOf(w)?.conditions ?? []).map(({ type, status }) => `${type}=${status}`)
const reasonOf = (w: World, type: string) =>
  statusOf(w)?.conditions?.find((each) => each.type === type)
const up = (a: number, b: number): number => a - b
const indexOf = ({ metadata }: Pod) =>
  Number(metadata.annotations?.['batch.kubernetes.io/job-completion-index'])

test('a job runs its pods, counts them once, and is complete', async () => {
  const w = await running()
  await w.client.create(jobs, pi({ completions: 3, parallelism: 2 }))
  await w.env.advance(2000)
  assert.equal(active(w).length, 2)
  assert.deepEqual([statusOf(w)?.active, statusOf(w)?.ready], [2, 2])
  for (let i = 0; i < 3; i++) {
    await w.end(active(w)[0]!, 'Succeeded')
    await w.env.advance(3000)
  }
  assert.deepEqual(conditions(w), ['SuccessCriteriaMet=True', 'Complete=True'])
  const status = statusOf(w)
  assert.equal(status?.succeeded, 3)
  assert.equal(status.active, undefined)
  assert.ok(status.completionTime)
  assert.deepEqual(status.uncountedTerminatedPods, {})
  assert.equal(w.store.list(pods).length, 3)
  for (const { metadata } of w.store.list(pods)) assert.deepEqual(metadata.finalizers ?? [], [])
  assert.ok(w.store.list(events).some(({ reason }) => reason === 'Completed'))
  w.stop()
})

test('failures are replaced ever more slowly until the limit is reached', async () => {
  const w = await running()
  await w.client.create(jobs, pi({ backoffLimit: 2 }))
  await w.env.advance(2000)
  await w.end(active(w)[0]!, 'Failed')
  await w.env.advance(5000)
  assert.equal(active(w).length, 0)
  await w.env.advance(8000)
  assert.equal(active(w).length, 1)
  await w.end(active(w)[0]!, 'Failed')
  await w.env.advance(15_000)
  assert.equal(active(w).length, 0)
  await w.env.advance(10_000)
  await w.end(active(w)[0]!, 'Failed')
  await w.rest()
  assert.deepEqual(conditions(w), ['FailureTarget=True', 'Failed=True'])
  assert.equal(reasonOf(w, 'Failed')?.reason, 'BackoffLimitExceeded')
  assert.equal(statusOf(w)?.failed, 3)
  w.stop()
})

test('a job past its deadline stops its pods and fails', async () => {
  const w = await running()
  await w.client.create(jobs, pi({ parallelism: 2, completions: 2, activeDeadlineSeconds: 30 }))
  await w.env.advance(20_000)
  assert.equal(active(w).length, 2)
  await w.env.advance(15_000)
  await w.rest()
  assert.equal(reasonOf(w, 'Failed')?.reason, 'DeadlineExceeded')
  assert.equal(w.store.list(pods).length, 0)
  assert.equal(statusOf(w)?.failed, 2)
  w.stop()
})

test('a suspended job has no pods, and goes on when it is resumed', async () => {
  const w = await running()
  await w.client.create(jobs, pi({ suspend: true }))
  await w.rest()
  assert.equal(w.store.list(pods).length, 0)
  assert.deepEqual(conditions(w), ['Suspended=True'])
  assert.equal(statusOf(w)?.startTime, undefined)
  const suspend = (value: boolean) =>
    w.client.patch(jobs, key, 'merge', { spec: { suspend: value } })
  await suspend(false)
  await w.env.advance(3000)
  assert.equal(active(w).length, 1)
  assert.deepEqual(conditions(w), ['Suspended=False'])
  assert.ok(statusOf(w)?.startTime)
  await suspend(true)
  await w.rest()
  assert.equal(w.store.list(pods).length, 0)
  assert.equal(statusOf(w)?.failed ?? 0, 1)
  w.stop()
})

test('an indexed job runs each index once and tells which are done', async () => {
  const w = await running()
  await w.client.create(jobs, pi({ completions: 4, parallelism: 4, completionMode: 'Indexed' }))
  await w.env.advance(2000)
  assert.deepEqual(active(w).map(indexOf).toSorted(up), [0, 1, 2, 3])
  const [first] = active(w).filter((pod) => indexOf(pod) === 2)
  assert.match(first?.metadata.name ?? '', /^pi-2-/)
  assert.equal(first?.spec.hostname, 'pi-2')
  assert.equal(first.metadata.labels?.['batch.kubernetes.io/job-completion-index'], '2')
  assert.equal(
    first.spec.containers[0]?.env?.[0]?.valueFrom?.fieldRef?.fieldPath,
    "metadata.labels['batch.kubernetes.io/job-completion-index']",
  )
  for (const pod of active(w).filter((each) => indexOf(each) !== 3)) await w.end(pod, 'Succeeded')
  await w.env.advance(3000)
  assert.equal(statusOf(w)?.completedIndexes, '0-2')
  await w.end(active(w)[0]!, 'Failed')
  await w.env.advance(15_000)
  assert.deepEqual(active(w).map(indexOf), [3])
  await w.end(active(w)[0]!, 'Succeeded')
  await w.rest()
  assert.equal(statusOf(w)?.completedIndexes, '0-3')
  assert.deepEqual([statusOf(w)?.succeeded, statusOf(w)?.failed], [4, 1])
  assert.ok(conditions(w).includes('Complete=True'))
  w.stop()
})

test('with a limit for each index, one that fails too often fails alone', async () => {
  const w = await running()
  await w.client.create(
    jobs,
    pi({ completions: 2, parallelism: 2, completionMode: 'Indexed', backoffLimitPerIndex: 1 }),
  )
  await w.env.advance(2000)
  const failZero = async (): Promise<void> => {
    await w.end(
      active(w).find((pod) => indexOf(pod) === 0)!,
      'Failed',
    )
    await w.env.advance(15_000)
  }
  await failZero()
  const replacement = active(w).find((pod) => indexOf(pod) === 0)
  assert.equal(
    replacement?.metadata.annotations?.['batch.kubernetes.io/job-index-failure-count'],
    '1',
  )
  await failZero()
  assert.equal(statusOf(w)?.failedIndexes, '0')
  assert.deepEqual(active(w).map(indexOf), [1])
  await w.end(active(w)[0]!, 'Succeeded')
  await w.rest()
  assert.equal(reasonOf(w, 'Failed')?.reason, 'FailedIndexes')
  assert.deepEqual([statusOf(w)?.completedIndexes, statusOf(w)?.failed], ['1', 2])
  w.stop()
})

test('too many failed indexes end the job at once', async () => {
  const w = await running()
  await w.client.create(
    jobs,
    pi({
      completions: 4,
      parallelism: 4,
      completionMode: 'Indexed',
      backoffLimitPerIndex: 0,
      maxFailedIndexes: 1,
    }),
  )
  await w.env.advance(2000)
  for (const pod of active(w).slice(0, 2)) await w.end(pod, 'Failed')
  await w.rest()
  assert.equal(reasonOf(w, 'Failed')?.reason, 'MaxFailedIndexesExceeded')
  assert.equal(active(w).length, 0)
  w.stop()
})

const policy = (rules: NonNullable<Job['spec']['podFailurePolicy']>['rules']) => ({
  podFailurePolicy: { rules },
})

test('a failure that the policy calls fatal fails the job, in words that say why', async () => {
  const w = await running()
  await w.client.create(
    jobs,
    pi(policy([{ action: 'FailJob', onExitCodes: { operator: 'In', values: [42] } }])),
  )
  await w.env.advance(2000)
  const [pod] = active(w)
  await w.end(pod!, 'Failed', 42)
  await w.rest()
  assert.equal(reasonOf(w, 'Failed')?.reason, 'PodFailurePolicy')
  assert.equal(
    reasonOf(w, 'Failed')?.message,
    `Container main for pod shop/${pod?.metadata.name} failed with exit code 42 matching FailJob rule at index 0`,
  )
  w.stop()
})

test('a failure that the policy ignores does not count', async () => {
  const w = await running()
  await w.client.create(
    jobs,
    pi({
      backoffLimit: 0,
      ...policy([
        { action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] },
      ]),
    }),
  )
  await w.env.advance(2000)
  const [pod] = active(w)
  const now = w.store.get(pods, pod!.metadata)!
  await w.client.updateStatus(pods, {
    ...now,
    status: {
      ...now.status,
      phase: 'Failed',
      conditions: [{ type: 'DisruptionTarget', status: 'True' }],
    },
  })
  await w.env.advance(15_000)
  assert.equal(active(w).length, 1)
  assert.equal(statusOf(w)?.failed ?? 0, 0)
  w.stop()
})

test('a success policy ends the job early and stops the rest', async () => {
  const w = await running()
  await w.client.create(
    jobs,
    pi({
      completions: 5,
      parallelism: 5,
      completionMode: 'Indexed',
      successPolicy: { rules: [{ succeededIndexes: '0-1', succeededCount: 1 }] },
    }),
  )
  await w.env.advance(2000)
  await w.end(
    active(w).find((pod) => indexOf(pod) === 1)!,
    'Succeeded',
  )
  await w.rest()
  assert.deepEqual(conditions(w), ['SuccessCriteriaMet=True', 'Complete=True'])
  assert.equal(reasonOf(w, 'Complete')?.reason, 'SuccessPolicy')
  assert.equal(active(w).length, 0)
  w.stop()
})

test('a pod whose labels change is let go, and a matching orphan is taken in', async () => {
  const w = await running()
  await w.client.create(jobs, pi({ parallelism: 2, completions: 2 }))
  await w.env.advance(2000)
  const [pod] = active(w)
  const before = { ...pod!.metadata.labels }
  const gone = Object.fromEntries(Object.keys(before).map((label) => [label, null]))
  await w.client.patch(pods, pod!.metadata, 'merge', { metadata: { labels: gone } })
  await w.env.advance(3000)
  const released = w.store.get(pods, pod!.metadata)!
  assert.equal(controllerOf(released), undefined)
  assert.deepEqual(released.metadata.finalizers ?? [], [])
  assert.equal(active(w).filter((each) => controllerOf(each) !== undefined).length, 2)
  const [extra] = active(w).filter((each) => controllerOf(each) !== undefined)
  await w.client.patch(pods, pod!.metadata, 'merge', { metadata: { labels: before } })
  await w.client.patch(pods, extra!.metadata, 'merge', { metadata: { labels: gone } })
  await w.rest()
  assert.equal(active(w).filter((each) => controllerOf(each) !== undefined).length, 2)
  w.stop()
})

test('pods of a job that is deleted lose their finalizer', async () => {
  const w = await running()
  await w.client.create(jobs, pi())
  await w.env.advance(2000)
  await w.client.delete(jobs, key)
  await w.rest()
  for (const { metadata } of w.store.list(pods)) assert.deepEqual(metadata.finalizers ?? [], [])
  w.stop()
})

test('replacements wait for pods on their way out when that is asked for', async () => {
  const w = await running({ stopMs: 20_000 })
  await w.client.create(jobs, pi({ podReplacementPolicy: 'Failed' }))
  await w.env.advance(2000)
  await w.client.delete(pods, active(w)[0]!.metadata)
  await w.env.advance(12_000)
  assert.equal(w.store.list(pods).length, 1)
  assert.equal(statusOf(w)?.terminating, 1)
  w.stop()
})

test('a finished job asks nothing, and nothing waits', async () => {
  const w = await running()
  await w.client.create(jobs, pi())
  await w.env.advance(2000)
  await w.end(active(w)[0]!, 'Succeeded')
  await w.rest()
  const before = w.transport.requests.length
  await w.env.advance(3_600_000)
  assert.equal(w.transport.requests.length, before)
  assert.equal(w.env.nextTimer(), undefined)
  w.stop()
})

test('each pod is counted once, however late the controller sees its own writes', async () => {
  const w = await running({ watchDelayMs: 400 })
  await w.client.create(jobs, pi({ completions: 6, parallelism: 3, backoffLimit: 5 }))
  for (let i = 0; i < 40 && !conditions(w).includes('Complete=True'); i++) {
    await w.env.advance(7000)
    for (const [at, pod] of active(w).entries())
      await w.end(pod, i === 1 && at === 0 ? 'Failed' : 'Succeeded')
  }
  await w.rest()
  assert.deepEqual([statusOf(w)?.succeeded, statusOf(w)?.failed ?? 0], [6, 1])
  w.stop()
})

test('index sets are written as ranges and read back', () => {
  assert.equal(formatIndexes([5, 0, 1, 2, 7, 8]), '0-2,5,7,8')
  fc.assert(
    fc.property(fc.uniqueArray(fc.nat(200)), (indexes) => {
      const read = parseIndexes(formatIndexes(indexes))
      assert.deepEqual([...read].toSorted(up), indexes.toSorted(up))
    }),
  )
})
