/** Starts a Job whenever its time has come, keeps account of those that run, and clears away old ones. */
import { timestamp } from '#machinery'
import { cronJobs, jobs, type CronJob, type Job, type ObjectReference } from '#api'
import type { Draft } from '#machinery'
import {
  controllerReference,
  create,
  event,
  isTerminating,
  nothing,
  remove,
  updateStatus,
  type Action,
  type Decision,
} from '../framework/index.ts'
import { has, isJobFinished } from '../job/status.ts'
import { lastTime, nextTime, parseSchedule, type Schedule } from './schedule.ts'

export interface Observed {
  readonly cronJob: CronJob
  /** Those it controls. */
  readonly jobs: readonly Job[]
}

const SCHEDULED = 'batch.kubernetes.io/cronjob-scheduled-timestamp'
/** So that it looks when the minute has surely begun. */
const SLACK_MS = 100

export function decide({ cronJob, jobs: own }: Observed, now: Date): Decision {
  const { status = {} } = cronJob
  if (isTerminating(cronJob)) return nothing
  const known = new Set((status.active ?? []).map(({ uid }) => uid))
  const running = own.filter((job) => !isJobFinished(job) && startedAt(job) !== undefined)
  const actions: Action[] = [
    ...own
      .filter((job) => known.has(job.metadata.uid) && isJobFinished(job))
      .map((job) =>
        event(
          cronJob,
          'Normal',
          'SawCompletedJob',
          `Saw completed job: ${job.metadata.name}, condition: ${has(job.status?.conditions, 'Complete') ? 'Complete' : 'Failed'}`,
        ),
      ),
    // Those started by hand, above all: they go on, and do not count.
    ...own
      .filter((job) => !isJobFinished(job) && startedAt(job) === undefined)
      .map(({ metadata: { name } }) =>
        event(
          cronJob,
          'Warning',
          'UnexpectedJob',
          `Saw a job that the controller did not create or forgot: ${name}`,
        ),
      ),
    ...(status.active ?? [])
      .filter(({ uid }) => !own.some(({ metadata }) => metadata.uid === uid))
      .map(({ name }) =>
        event(cronJob, 'Normal', 'MissingJob', `Active job went missing: ${name ?? ''}`),
      ),
    ...outdated(cronJob, own),
  ]
  const next = start(cronJob, running, own, now)
  actions.push(...next.actions)
  const lastScheduleTime = latest([status.lastScheduleTime, ...own.map(startedAt)])
  const lastSuccessfulTime = latest([
    status.lastSuccessfulTime,
    ...own.map((job) =>
      has(job.status?.conditions, 'Complete') ? job.status?.completionTime : undefined,
    ),
  ])
  const active = running
    .toSorted((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
    .map(referenceTo)
  actions.push(
    ...updateStatus(cronJobs, cronJob, {
      ...(active.length > 0 ? { active } : {}),
      ...(lastScheduleTime === undefined ? {} : { lastScheduleTime }),
      ...(lastSuccessfulTime === undefined ? {} : { lastSuccessfulTime }),
    }),
  )
  return {
    actions,
    ...(next.waitMs === undefined ? {} : { requeueAfterMs: next.waitMs }),
  }
}

/** Undefined for Jobs that were started by hand. */
const startedAt = ({ metadata }: Job): string | undefined => {
  const time = Date.parse(metadata.annotations?.[SCHEDULED] ?? '')
  return Number.isNaN(time) ? undefined : timestamp(new Date(time))
}

const latest = (times: readonly (string | undefined)[]): string | undefined =>
  times
    .filter((time) => time !== undefined)
    .toSorted((a, b) => Date.parse(a) - Date.parse(b))
    .at(-1)

const referenceTo = ({ metadata }: Job): ObjectReference => ({
  apiVersion: 'batch/v1',
  kind: 'Job',
  namespace: metadata.namespace ?? '',
  name: metadata.name,
  uid: metadata.uid,
})

/** Finished Jobs beyond the number that is kept, the oldest first. */
function outdated(cronJob: CronJob, own: readonly Job[]): readonly Action[] {
  const { successfulJobsHistoryLimit, failedJobsHistoryLimit } = cronJob.spec
  const beyond = (type: string, limit: number | undefined): readonly Job[] => {
    if (limit === undefined) return []
    const finished = own
      .filter((job) => has(job.status?.conditions, type) && !isTerminating(job))
      .toSorted(
        (a, b) =>
          Date.parse(a.status?.startTime ?? '') - Date.parse(b.status?.startTime ?? '') ||
          (a.metadata.name < b.metadata.name ? -1 : 1),
      )
    return finished.slice(0, Math.max(0, finished.length - limit))
  }
  return [
    ...beyond('Complete', successfulJobsHistoryLimit),
    ...beyond('Failed', failedJobsHistoryLimit),
  ].flatMap((job) => discard(cronJob, job))
}

const discard = (cronJob: CronJob, job: Job): readonly Action[] => [
  remove(jobs, job, { propagationPolicy: 'Background' }),
  event(cronJob, 'Normal', 'SuccessfulDelete', `Deleted job ${job.metadata.name}`),
]

interface Start {
  readonly actions: readonly Action[]
  readonly waitMs?: number
}

function start(cronJob: CronJob, running: readonly Job[], own: readonly Job[], now: Date): Start {
  const { spec, metadata, status } = cronJob
  if (spec.suspend === true) return { actions: [] }
  const schedule = parseSchedule(spec.schedule)
  if (schedule === undefined)
    return {
      actions: [
        event(
          cronJob,
          'Warning',
          'UnparseableSchedule',
          `unparseable schedule: "${spec.schedule}"`,
        ),
      ],
    }
  const zone = spec.timeZone ?? 'UTC'
  const known = latest([status?.lastScheduleTime, ...own.map(startedAt)])
  const deadlineMs = Number(spec.startingDeadlineSeconds ?? Infinity) * 1000
  const from = new Date(
    Math.max(
      Date.parse(known ?? metadata.creationTimestamp),
      deadlineMs === Infinity ? -Infinity : now.getTime() - deadlineMs,
    ),
  )
  // A day that no month has, like the 31st of February.
  if (nextTime(schedule, from, zone) === undefined) {
    const why = 'time difference between two schedules is less than 1 second'
    const message = `invalid schedule: ${spec.schedule} : ${why}`
    return { actions: [event(cronJob, 'Warning', 'InvalidSchedule', message)] }
  }
  const { time, missedMany } = lastTime(schedule, from, now, zone)
  const waitMs = waitFor(schedule, time ?? from, now, zone)
  const later: Omit<Start, 'actions'> = waitMs === undefined ? {} : { waitMs }
  if (time === undefined) return { actions: [], ...later }
  const actions: Action[] = []
  if (missedMany)
    actions.push(
      event(
        cronJob,
        'Warning',
        'TooManyMissedTimes',
        'too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew',
      ),
    )
  const name = nameFor(cronJob, time)
  if (own.some((job) => job.metadata.name === name)) return { actions, ...later }
  if (spec.concurrencyPolicy === 'Forbid' && running.length > 0) {
    actions.push(
      event(
        cronJob,
        'Normal',
        'JobAlreadyActive',
        'Not starting job because prior execution is running and concurrency policy is Forbid',
      ),
    )
    return { actions, ...later }
  }
  if (spec.concurrencyPolicy === 'Replace')
    for (const job of running) if (!isTerminating(job)) actions.push(...discard(cronJob, job))
  actions.push(create(jobs, jobFor(cronJob, name, time, zone)))
  actions.push(event(cronJob, 'Normal', 'SuccessfulCreate', `Created job ${name}`))
  return { actions, ...later }
}

function waitFor(schedule: Schedule, after: Date, now: Date, zone: string): number | undefined {
  // `@every` counts from the run before; the others from the clock.
  const next = nextTime(schedule, schedule.type === 'every' ? after : now, zone)
  return next === undefined ? undefined : Math.max(1, next.getTime() - now.getTime()) + SLACK_MS
}

/** The same for the same time, so that no run is started twice. */
const nameFor = ({ metadata }: CronJob, time: Date): string =>
  `${metadata.name}-${Math.floor(time.getTime() / 60_000)}`

function jobFor(cronJob: CronJob, name: string, time: Date, zone: string): Draft<Job> {
  const { metadata: given, spec } = cronJob.spec.jobTemplate
  return {
    metadata: {
      name,
      namespace: cronJob.metadata.namespace ?? '',
      ...(given?.labels === undefined ? {} : { labels: given.labels }),
      annotations: { ...given?.annotations, [SCHEDULED]: stampIn(zone, time) },
      ownerReferences: [controllerReference(cronJobs, cronJob)],
    },
    spec: spec ?? { template: {} },
  }
}

/** RFC 3339 with the offset of the zone. */
function stampIn(timeZone: string, time: Date): string {
  if (timeZone === 'UTC' || timeZone === 'Etc/UTC') return timestamp(time)
  const text = new Intl.DateTimeFormat('sv-SE', {
    timeZone,
    dateStyle: 'short',
    timeStyle: 'medium',
  }).format(time)
  const offset =
    new Intl.DateTimeFormat('en-US', { timeZone, timeZoneName: 'longOffset' })
      .formatToParts(time)
      .find(({ type }) => type === 'timeZoneName')
      ?.value.slice(3) ?? ''
  return `${text.replace(' ', 'T')}${offset === '' ? 'Z' : offset}`
}
