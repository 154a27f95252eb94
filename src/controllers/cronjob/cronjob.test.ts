import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cronJobs, events, jobs, pods, type CronJob } from '#api'
import type { Draft } from '#machinery'
import { jobController, jobPodFinalizerController } from '../job/index.ts'
import { world, type World } from '../testing/world.ts'
import { ttlAfterFinishedController } from '../ttl-after-finished/index.ts'
import { cronJobController } from './index.ts'
import { lastTime, nextTime, parseSchedule } from './schedule.ts'

const key = { namespace: 'shop', name: 'tick' }
const tick = (spec: Partial<CronJob['spec']> = {}, job: object = {}): Draft<CronJob> => ({
  metadata: key,
  spec: {
    schedule: '*/5 * * * *',
    jobTemplate: {
      spec: {
        template: {
          spec: { restartPolicy: 'Never', containers: [{ name: 'main', image: 'pi:1' }] },
        },
        ...job,
      },
    },
    ...spec,
  },
})
const running = () =>
  world([cronJobController, jobController, jobPodFinalizerController, ttlAfterFinishedController])
const minutes = (n: number): number => n * 60_000
const jobNames = ({ store }: World) => store.list(jobs).map(({ metadata }) => metadata.name)
const statusOf = ({ store }: World) => store.get(cronJobs, key)?.status
async function finishAll(w: World): Promise<void> {
  for (const pod of w.store.list(pods))
    if (pod.status?.phase === 'Running') await w.end(pod, 'Succeeded')
  await w.env.advance(2000)
}
const nameAt = (time: string): string => `tick-${Date.parse(time) / 60_000}`

test('a job is started at each of its times, and the last ones are kept', async () => {
  const w = await running()
  await w.client.create(cronJobs, tick())
  await w.env.advance(minutes(5) + 3000)
  assert.deepEqual(jobNames(w), [nameAt('2026-01-01T00:05:00Z')])
  assert.equal(statusOf(w)?.active?.length, 1)
  assert.equal(statusOf(w)?.lastScheduleTime, '2026-01-01T00:05:00Z')
  const [job] = w.store.list(jobs)
  assert.equal(
    job?.metadata.annotations?.['batch.kubernetes.io/cronjob-scheduled-timestamp'],
    '2026-01-01T00:05:00Z',
  )
  for (let i = 0; i < 5; i++) {
    await finishAll(w)
    await w.env.advance(minutes(5))
  }
  await finishAll(w)
  assert.deepEqual(jobNames(w), [
    nameAt('2026-01-01T00:20:00Z'),
    nameAt('2026-01-01T00:25:00Z'),
    nameAt('2026-01-01T00:30:00Z'),
  ])
  assert.equal(statusOf(w)?.active, undefined)
  assert.ok(statusOf(w)?.lastSuccessfulTime)
  assert.ok(w.store.list(events).some(({ reason }) => reason === 'SawCompletedJob'))
  w.stop()
})

for (const [concurrencyPolicy, count] of [
  ['Allow', 3],
  ['Forbid', 1],
  ['Replace', 1],
] as const)
  test(`with ${concurrencyPolicy}, runs that take too long are as many as it says`, async () => {
    const w = await running()
    await w.client.create(cronJobs, tick({ concurrencyPolicy }))
    await w.env.advance(minutes(15) + 3000)
    assert.equal(w.store.list(jobs).length, count)
    const expected =
      concurrencyPolicy === 'Forbid' ? '2026-01-01T00:05:00Z' : '2026-01-01T00:15:00Z'
    assert.equal(jobNames(w).at(-1), nameAt(expected))
    w.stop()
  })

test('while it is suspended nothing starts, and only the last missed run is made up for', async () => {
  const w = await running()
  await w.client.create(cronJobs, tick({ suspend: true }))
  await w.env.advance(minutes(31))
  assert.deepEqual(jobNames(w), [])
  assert.equal(w.env.nextTimer(), undefined)
  await w.client.patch(cronJobs, key, 'merge', { spec: { suspend: false } })
  await w.env.advance(1000)
  assert.deepEqual(jobNames(w), [nameAt('2026-01-01T00:30:00Z')])
  w.stop()
})

test('a run that is too late by its deadline is left out', async () => {
  const w = await running()
  await w.client.create(cronJobs, tick({ suspend: true, startingDeadlineSeconds: 30 }))
  await w.env.advance(minutes(6))
  await w.client.patch(cronJobs, key, 'merge', { spec: { suspend: false } })
  await w.env.advance(1000)
  assert.deepEqual(jobNames(w), [])
  await w.env.advance(minutes(4))
  assert.deepEqual(jobNames(w), [nameAt('2026-01-01T00:10:00Z')])
  w.stop()
})

test('a job that was started by hand is told of, and does not count', async () => {
  const w = await running()
  const made = await w.client.create(cronJobs, tick())
  const { spec } = tick().spec.jobTemplate
  await w.client.create(jobs, {
    metadata: {
      namespace: 'shop',
      name: 'by-hand',
      ownerReferences: [
        {
          apiVersion: 'batch/v1',
          kind: 'CronJob',
          name: 'tick',
          uid: made.metadata.uid,
          controller: true,
        },
      ],
    },
    spec: spec ?? { template: {} },
  })
  await w.rest()
  const told = w.store.list(events).filter(({ reason }) => reason === 'UnexpectedJob')
  assert.equal(told[0]?.message, 'Saw a job that the controller did not create or forgot: by-hand')
  assert.equal(statusOf(w)?.active, undefined)
  w.stop()
})

test('a time that never comes is told of', async () => {
  const w = await running()
  await w.client.create(cronJobs, tick({ schedule: '59 23 31 2 *' }))
  await w.env.advance(minutes(1))
  const told = w.store.list(events).map(({ type, reason, message }) => [type, reason, message])
  assert.deepEqual(told, [
    [
      'Warning',
      'InvalidSchedule',
      'invalid schedule: 59 23 31 2 * : time difference between two schedules is less than 1 second',
    ],
  ])
  w.stop()
})

test('a finished job is deleted after its time to live', async () => {
  const w = await running()
  await w.client.create(cronJobs, tick({}, { ttlSecondsAfterFinished: 60 }))
  await w.env.advance(minutes(5) + 3000)
  await finishAll(w)
  assert.equal(w.store.list(jobs).length, 1)
  await w.env.advance(62_000)
  const [job] = w.store.list(jobs)
  // Its pods go first: that is the garbage collector's part.
  assert.deepEqual(job?.metadata.finalizers, ['foregroundDeletion'])
  w.stop()
})

const next = (schedule: string, after: string, zone?: string): string | undefined =>
  nextTime(parseSchedule(schedule)!, new Date(after), zone)?.toISOString()

test('schedules come when cron would', () => {
  const cases: readonly (readonly [string, string, string, string?])[] = [
    ['* * * * *', '2026-01-01T00:00:30Z', '2026-01-01T00:01:00.000Z'],
    ['*/15 8-10 * * *', '2026-01-01T10:45:00Z', '2026-01-02T08:00:00.000Z'],
    ['0 0 29 2 *', '2026-01-01T00:00:00Z', '2028-02-29T00:00:00.000Z'],
    ['0 12 * * mon-fri', '2026-01-02T13:00:00Z', '2026-01-05T12:00:00.000Z'],
    // Both days given: either will do.
    ['0 0 13 * fri', '2026-01-01T00:00:00Z', '2026-01-02T00:00:00.000Z'],
    ['30 2 * * *', '2026-01-01T00:00:00Z', '2026-01-01T10:30:00.000Z', 'America/Los_Angeles'],
    // Clocks skip from two to three on March 29th in Berlin.
    ['30 2 29 3 *', '2026-03-01T00:00:00Z', '2027-03-29T00:30:00.000Z', 'Europe/Berlin'],
    // They go back from three to two on October 25th: what is in that hour comes twice.
    ['30 2 * * *', '2026-10-24T12:00:00Z', '2026-10-25T00:30:00.000Z', 'Europe/Berlin'],
    ['30 2 * * *', '2026-10-25T00:30:00Z', '2026-10-25T01:30:00.000Z', 'Europe/Berlin'],
    ['*/30 * * * *', '2026-10-25T00:00:00Z', '2026-10-25T00:30:00.000Z', 'Europe/Berlin'],
    ['*/30 * * * *', '2026-10-25T00:30:00Z', '2026-10-25T01:00:00.000Z', 'Europe/Berlin'],
    ['*/30 * * * *', '2026-10-25T01:30:00Z', '2026-10-25T02:00:00.000Z', 'Europe/Berlin'],
    ['0 * * * *', '2026-03-29T00:30:00Z', '2026-03-29T01:00:00.000Z', 'Europe/Berlin'],
    ['5/15 * * * *', '2026-01-01T00:21:00Z', '2026-01-01T00:35:00.000Z'],
    ['1-10/3 * * * *', '2026-01-01T00:05:00Z', '2026-01-01T00:07:00.000Z'],
    ['*/70 * * * *', '2026-01-01T00:05:00Z', '2026-01-01T01:00:00.000Z'],
    ['0 0 ? * mon', '2026-01-01T00:00:00Z', '2026-01-05T00:00:00.000Z'],
    // A day of the month with steps is given too.
    ['0 0 */2 * mon', '2026-01-01T00:00:00Z', '2026-01-03T00:00:00.000Z'],
    ['0 0 * JAN-mar *', '2026-05-01T00:00:00Z', '2027-01-01T00:00:00.000Z'],
    ['@weekly', '2026-01-01T00:00:00Z', '2026-01-04T00:00:00.000Z'],
    ['@hourly', '2026-01-01T00:00:00Z', '2026-01-01T01:00:00.000Z'],
    ['@every 1h30m', '2026-01-01T00:00:00Z', '2026-01-01T01:30:00.000Z'],
  ]
  for (const [schedule, after, expected, zone] of cases)
    assert.equal(next(schedule, after, zone), expected, schedule)
  assert.equal(next('0 0 30 2 *', '2026-01-01T00:00:00Z'), undefined)
})

test('what is no schedule of a CronJob is not read', () => {
  for (const text of [
    '',
    '* * * *',
    '0 0 L * *',
    '0 0 * * 5#2',
    '60 * * * *',
    '@reboot',
    '@every x',
  ])
    assert.equal(parseSchedule(text), undefined, text)
})

test('of thousands of missed times the last is found quickly', () => {
  const { time, missedMany } = lastTime(
    parseSchedule('* * * * *')!,
    new Date('2020-01-01T00:00:00Z'),
    new Date('2026-01-01T00:00:30Z'),
  )
  assert.equal(time?.toISOString(), '2026-01-01T00:00:00.000Z')
  assert.ok(missedMany)
})
