import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { JsonObject } from '#machinery'
import { trying } from '../definitions.testing.ts'
import { readIndexes } from './job/indexes.ts'
import { isTimeZone, scheduleError } from './schedule.ts'

type Part = Record<string, unknown>

const jobs = trying('batch', 'v1', 'jobs')
const cronJobs = trying('batch', 'v1', 'cronjobs')

const podSpec = (over: Part = {}): Part => ({
  containers: [{ name: 'main', image: 'busybox:1' }],
  restartPolicy: 'Never',
  ...over,
})
const job = (spec: Part = {}, over: Part = {}): JsonObject => ({
  spec: { template: { spec: podSpec() }, ...spec },
  ...over,
})
const cronJob = (spec: Part = {}, metadata: Part = {}): JsonObject => ({
  metadata,
  spec: {
    schedule: '*/5 * * * *',
    jobTemplate: { spec: { template: { spec: podSpec() } } },
    ...spec,
  },
})
/** As the server does it: the selector is made before the rules are asked. */
const errorsOf = (object: JsonObject) => {
  const created = jobs.created(object)
  return jobs.definition.validate(created).map(({ field, detail }) => `${field}: ${detail}`)
}

test('a job finds its pods by its own uid', () => {
  const created = jobs.created(job()) as { spec: Part; metadata: Part; status: Part }
  const labels = {
    'batch.kubernetes.io/controller-uid': 'uid-1',
    'batch.kubernetes.io/job-name': 'x',
    'controller-uid': 'uid-1',
    'job-name': 'x',
  }
  assert.deepEqual(created.spec['selector'], {
    matchLabels: { 'batch.kubernetes.io/controller-uid': 'uid-1' },
  })
  assert.deepEqual((created.spec['template'] as { metadata: Part }).metadata['labels'], labels)
  assert.deepEqual(created.metadata['labels'], labels)
})

test('a job that is named late is labelled when it has its name', () => {
  const created = jobs.created({ ...job(), metadata: { name: '', generateName: 'x-' } })
  ;(created['metadata'] as Part)['name'] = 'x-1'
  jobs.definition.defaults(created)
  const { template } = created['spec'] as { template: { metadata: { labels: Part } } }
  assert.equal(template.metadata.labels['batch.kubernetes.io/job-name'], 'x-1')
})

test('a selector of the user stays as it is', () => {
  const created = jobs.created(
    job({
      manualSelector: true,
      selector: { matchLabels: { a: 'b' } },
      template: { metadata: { labels: { a: 'b' } }, spec: podSpec() },
    }),
  ) as { spec: Part }
  assert.deepEqual(created.spec['selector'], { matchLabels: { a: 'b' } })
})

test('a job runs once, and tries seven times', () => {
  const { spec } = jobs.defaulted(job()) as { spec: Part }
  const { template: _, ...rest } = spec
  assert.deepEqual(rest, {
    completions: 1,
    parallelism: 1,
    backoffLimit: 6,
    completionMode: 'NonIndexed',
    suspend: false,
    podReplacementPolicy: 'TerminatingOrFailed',
    manualSelector: false,
  })
  const queue = jobs.defaulted(job({ parallelism: 3 })) as { spec: Part }
  assert.equal(queue.spec['completions'], undefined)
})

test('what a job says must fit together', () => {
  assert.deepEqual(errorsOf(job()), [])
  assert.deepEqual(errorsOf(job({ template: { spec: podSpec({ restartPolicy: 'Always' }) } })), [
    'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"',
  ])
  assert.deepEqual(errorsOf(job({ completionMode: 'Indexed', parallelism: 2 })), [
    'spec.completions: Required value: when completion mode is Indexed',
  ])
  assert.deepEqual(errorsOf(job({ backoffLimitPerIndex: 1 })), [
    'spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode',
  ])
  const podFailurePolicy = {
    rules: [{ action: 'FailJob', onExitCodes: { operator: 'In', values: [0, 0] } }],
  }
  assert.deepEqual(errorsOf(job({ podFailurePolicy })), [
    'spec.podFailurePolicy.rules[0].onExitCodes.values[0]: Invalid value: 0: must not be 0 for the In operator',
    'spec.podFailurePolicy.rules[0].onExitCodes.values[1]: Invalid value: 0: must not be 0 for the In operator',
    'spec.podFailurePolicy.rules[0].onExitCodes.values[1]: Duplicate value: 0',
  ])
})

test('a job changes its parallelism, and not its work', () => {
  assert.deepEqual(jobs.updateErrors(job({ parallelism: 5, completions: 1 }), job()), [])
  assert.deepEqual(jobs.updateErrors(job({ completions: 5 }), job()), [
    'spec.completions: Invalid value: 5: field is immutable',
  ])
  const moved = { template: { spec: podSpec({ nodeSelector: { zone: 'a' } }) } }
  assert.equal(jobs.updateErrors(job(moved), job()).length, 1)
  assert.deepEqual(jobs.updateErrors(job(moved), job({ suspend: true })), [])
})

test('the table says how far a job is', () => {
  const row = jobs.row(
    job(
      { completions: 3 },
      {
        status: {
          succeeded: 3,
          startTime: '2026-01-02T03:00:00Z',
          completionTime: '2026-01-02T03:00:42Z',
          conditions: [{ type: 'Complete', status: 'True' }],
        },
      },
    ),
  )
  assert.deepEqual([row['Status'], row['Completions'], row['Duration']], ['Complete', '3/3', '42s'])
})

test('jobs leave their pods behind when a delete says nothing', () => {
  assert.equal(jobs.definition.defaultPropagation, 'Orphan')
})

test('schedules are read as cron reads them', () => {
  for (const schedule of [
    '* * * * *',
    '*/15 0-6,12 1 jan,JUL mon-fri',
    '@hourly',
    '@every 1h30m',
    '0 0 ? * 3',
  ]) {
    assert.equal(scheduleError(schedule), undefined, schedule)
  }
  const wrong: Readonly<Record<string, string>> = {
    '* * *': 'expected exactly 5 fields, found 3: [* * *]',
    '70 * * * *': 'end of range (70) above maximum (59): 70',
    '* * 0 * *': 'beginning of range (0) below minimum (1): 0',
    '5-1 * * * *': 'beginning of range (5) beyond end of range (1): 5-1',
    '*/0 * * * *': 'step of range should be a positive number: */0',
    'a * * * *': 'failed to parse int from a: strconv.Atoi: parsing "a": invalid syntax',
    '@often': 'unrecognized descriptor: @often',
  }
  for (const [schedule, why] of Object.entries(wrong)) assert.equal(scheduleError(schedule), why)
})

test('a cron job has a schedule, a zone that exists and a short name', () => {
  assert.deepEqual(cronJobs.errors(cronJob()), [])
  assert.deepEqual(cronJobs.errors(cronJob({ schedule: '' })), ['spec.schedule: Required value'])
  assert.deepEqual(cronJobs.errors(cronJob({ schedule: 'TZ=UTC * * * * *' })), [
    'spec.schedule: Invalid value: "TZ=UTC * * * * *": cannot use TZ or CRON_TZ in schedule, use timeZone field instead',
  ])
  assert.deepEqual(cronJobs.errors(cronJob({ timeZone: 'Mars/Olympus' })), [
    'spec.timeZone: Invalid value: "Mars/Olympus": unknown time zone Mars/Olympus',
  ])
  assert.deepEqual(cronJobs.errors(cronJob({}, { name: 'x'.repeat(53) })), [
    `metadata.name: Invalid value: "${'x'.repeat(53)}": must be no more than 52 characters`,
  ])
  assert.ok(isTimeZone('Europe/Paris'))
})

test('a cron job of the past is told by its table', () => {
  const row = cronJobs.row({
    ...cronJob({ suspend: true }),
    status: { active: [{ name: 'a' }], lastScheduleTime: '2026-01-02T03:03:05Z' },
  })
  assert.deepEqual(
    [row['Schedule'], row['Timezone'], row['Suspend'], row['Active'], row['Last Schedule']],
    ['*/5 * * * *', '<none>', 'True', 1, '60s'],
  )
})

test('indexes of a success policy grow, and are those of pods', () => {
  const cases: Readonly<Record<string, object>> = {
    '': { count: 0 },
    '0,2-4': { count: 4 },
    '5': { problem: 'too large index: "5"' },
    '1,x': { problem: 'cannot convert string to integer for index: "x"' },
    '1-2-3': {
      problem:
        'the fragment "1-2-3" violates the requirement that an index interval can have at most two parts separated by \'-\'',
    },
    '2,1': { problem: 'non-increasing order, previous: 2, current: 1' },
    '3-3': { problem: 'non-increasing order, previous: 3, current: 3' },
  }
  for (const [text, answer] of Object.entries(cases))
    assert.deepEqual(readIndexes(text, 5), answer, text)
})

test('a policy of success asks for no more than there is, and one of failure waits for the end', () => {
  const { template } = job()['spec'] as { template: object }
  assert.deepEqual(
    jobs.errors({
      spec: {
        manualSelector: true,
        selector: { matchLabels: { app: 'x' } },
        template: { ...template, metadata: { labels: { app: 'x' } } },
        completionMode: 'Indexed',
        completions: 3,
        successPolicy: { rules: [{ succeededIndexes: '0-1', succeededCount: 3 }] },
        podFailurePolicy: {
          rules: [{ action: 'Ignore', onExitCodes: { operator: 'In', values: [1] } }],
        },
        podReplacementPolicy: 'TerminatingOrFailed',
      },
    }),
    [
      'spec.successPolicy.rules[0].succeededCount: Invalid value: 3: must be less than or equal to 2 (the number of indexes in the specified succeededIndexes field)',
      'spec.podReplacementPolicy: Unsupported value: "TerminatingOrFailed": supported values: "Failed"',
    ],
  )
})

test('a job that is created from the export of another one keeps what cannot be', () => {
  const selector = { matchLabels: { other: 'x' } }
  const [problem = ''] = errorsOf(job({ selector }))
  assert.match(problem, /^spec\.selector: Invalid value: .*: `selector` not auto-generated$/)
})

test('a suspended job may ask for other amounts, and an indexed one grows in tandem', () => {
  const podWith = (resources: Part) => ({
    suspend: true,
    template: { spec: podSpec({ containers: [{ name: 'main', image: 'busybox:1', resources }] }) },
  })
  const more = podWith({ requests: { cpu: '2' } })
  assert.deepEqual(jobs.updateErrors(job(more), job(podWith({}))), [])
  assert.match(
    jobs.updateErrors(
      job({ ...more, suspend: false }),
      job({ ...podWith({}), suspend: false }),
    )[0] ?? '',
    /^spec\.template: .*field is immutable$/,
  )
  const indexed = (completions: number, parallelism: number) =>
    job({ completionMode: 'Indexed', completions, parallelism })
  assert.deepEqual(jobs.updateErrors(indexed(3, 3), indexed(2, 2)), [])
  assert.deepEqual(jobs.updateErrors(indexed(3, 2), indexed(2, 2)), [
    'spec.completions: Invalid value: 3: can only be modified in tandem with spec.parallelism',
  ])
})
