import assert from 'node:assert/strict'
import type { Json } from '../api.ts'
import { mirror, type Fixture } from '../mirror.ts'
import { BUSYBOX, change, holds, pause } from '../support.ts'

const MINUTE = 60_000

const cronJob = (name: string, concurrencyPolicy: string, suspend = false): Json => ({
  apiVersion: 'batch/v1',
  kind: 'CronJob',
  metadata: { name },
  spec: {
    schedule: '*/1 * * * ?',
    concurrencyPolicy,
    suspend,
    jobTemplate: {
      spec: {
        parallelism: 1,
        completions: 1,
        template: {
          spec: {
            restartPolicy: 'OnFailure',
            terminationGracePeriodSeconds: 0,
            containers: [{ name: 'c', image: BUSYBOX, command: ['sleep', '300'] }],
          },
        },
      },
    },
  },
})

const paths = ({ namespace }: Fixture): { readonly jobs: string; readonly cronJobs: string } => ({
  jobs: `/apis/batch/v1/namespaces/${namespace}/jobs`,
  cronJobs: `/apis/batch/v1/namespaces/${namespace}/cronjobs`,
})

const active = async ({ api, until }: Fixture, path: string, count: number): Promise<Json[]> =>
  until(
    `${count} active jobs`,
    async () => {
      const { status } = await api.get(path)
      const list: Json[] = status?.active ?? []
      return list.length >= count && list
    },
    5 * MINUTE,
  )

mirror(
  '[sig-apps] CronJob should schedule multiple jobs concurrently [Conformance]',
  async (fixture) => {
    const { api } = fixture
    const { cronJobs, jobs } = paths(fixture)
    await api.post(cronJobs, cronJob('concurrent', 'Allow'))
    await active(fixture, `${cronJobs}/concurrent`, 2)
    const { items } = await api.get(jobs)
    const running = items.filter((job: Json) => job['status'].completionTime === undefined)
    assert.ok(running.length >= 2)
    await api.delete(`${cronJobs}/concurrent`)
  },
)

mirror(
  '[sig-apps] CronJob should not schedule jobs when suspended [Conformance] [Slow]',
  async (fixture) => {
    const { api, profile } = fixture
    const { cronJobs, jobs } = paths(fixture)
    await api.post(cronJobs, cronJob('suspended', 'Allow', true))
    // A minute passes at least once, so one would have come.
    await holds(
      'nothing is scheduled',
      async () =>
        ((await api.get(`${cronJobs}/suspended`))['status']?.active ?? []).length === 0 &&
        (await api.get(jobs))['items'].length === 0,
      profile === 'fast' ? 1.2 * MINUTE : 5 * MINUTE,
    )
    await api.delete(`${cronJobs}/suspended`)
  },
)

mirror(
  '[sig-apps] CronJob should not schedule new jobs when ForbidConcurrent [Conformance] [Slow]',
  async (fixture) => {
    const { api, profile } = fixture
    const { cronJobs, jobs } = paths(fixture)
    await api.post(cronJobs, cronJob('forbid', 'Forbid'))
    const found = await active(fixture, `${cronJobs}/forbid`, 1)
    assert.equal(found.length, 1)
    assert.equal((await api.get(jobs))['items'].length, 1)
    await holds(
      'it stays the only one',
      async () =>
        (await api.get(`${cronJobs}/forbid`))['status'].active.length === 1 &&
        (await api.get(jobs))['items'].length === 1,
      profile === 'fast' ? 1.2 * MINUTE : 5 * MINUTE,
    )
    await api.delete(`${cronJobs}/forbid`)
  },
)

mirror(
  '[sig-apps] CronJob should replace jobs when ReplaceConcurrent [Conformance]',
  async (fixture) => {
    const { api, until } = fixture
    const { cronJobs, jobs } = paths(fixture)
    await api.post(cronJobs, cronJob('replace', 'Replace'))
    const [first, ...more] = await active(fixture, `${cronJobs}/replace`, 1)
    assert.equal(more.length, 0)
    assert.equal((await api.get(jobs))['items'].length, 1)
    await until(
      'another takes its place',
      async () => {
        const { status } = await api.get(`${cronJobs}/replace`)
        const list: Json[] = status?.active ?? []
        return list.length === 1 && list[0]?.['name'] !== first?.['name']
      },
      5 * MINUTE,
    )
    await pause(100)
    const { items } = await api.get(jobs)
    assert.equal(
      items.filter((job: Json) => job['metadata'].deletionTimestamp === undefined).length,
      1,
    )
    await change(api, `${cronJobs}/replace`, (object) => {
      object['spec'].suspend = true
    })
    await api.delete(`${cronJobs}/replace`)
  },
)
