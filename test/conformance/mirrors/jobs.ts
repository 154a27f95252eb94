/** Jobs whose containers really run and end. */
import assert from 'node:assert/strict'
import type { Json } from '../api.ts'
import { needsContainers } from '../containers.ts'
import { mirror, type Fixture } from '../mirror.ts'
import { BUSYBOX, change, conditionOf, frame, gone } from '../support.ts'

const at = ({ namespace }: Fixture): string => `/apis/batch/v1/namespaces/${namespace}/jobs`
const FIVE_MINUTES = 300_000

const INDEX = 'batch.kubernetes.io/job-completion-index'

/** What the containers of these Jobs do. */
const lines = {
  succeed: 'exit 0',
  fail: 'exit 1',
  failOddSucceedEven: 'if [ $(expr ${JOB_COMPLETION_INDEX} % 2) -ne 0 ]; then exit 1; fi; exit 0',
  failOnce: 'if [[ -r /data/foo ]]; then exit 0; fi; touch /data/foo; exit 1',
  notTerminateOncePerIndex:
    'F=/data/foo-$JOB_COMPLETION_INDEX; if [[ -r $F ]]; then exit 0; fi; touch $F; sleep 1000000',
} as const

const job = (
  name: string,
  does: keyof typeof lines | 'nothing said',
  spec: Json,
  restartPolicy = 'Never',
): Json => ({
  metadata: { name, creationTimestamp: null },
  spec: {
    manualSelector: false,
    template: {
      metadata: { labels: { job: name } },
      spec: {
        restartPolicy,
        volumes: [{ name: 'data', emptyDir: {} }],
        containers: [
          {
            name: 'c',
            image: BUSYBOX,
            ...(does === 'nothing said' ? {} : { command: ['/bin/sh', '-c'], args: [lines[does]] }),
            volumeMounts: [{ name: 'data', mountPath: '/data' }],
            securityContext: {},
            resources: {},
          },
        ],
      },
    },
    ...spec,
  },
  status: {},
})

/** All its pods on one node, with a folder there that outlives them. */
const onOneNode = async ({ api, unique }: Fixture, made: Json): Promise<Json> => {
  const { items } = await api.get('/api/v1/nodes')
  const node = items.find((each: Json) => (each['spec'].taints ?? []).length === 0)
  const pod = made['spec'].template.spec
  pod.nodeSelector = { 'kubernetes.io/hostname': node.metadata.labels['kubernetes.io/hostname'] }
  pod.volumes = [
    {
      name: 'data',
      hostPath: { path: `/tmp/job-e2e/${unique('data')}`, type: 'DirectoryOrCreate' },
    },
  ]
  pod.containers[0].securityContext = { privileged: true }
  return made
}

const start = async (fixture: Fixture, made: Json): Promise<Json> => {
  await needsContainers(fixture)
  return fixture.api.post(at(fixture), made)
}

const ended = (fixture: Fixture, name: string, type: 'Complete' | 'Failed'): Promise<Json> =>
  fixture.until(
    `job ${name} is ${type}`,
    async () => {
      const found = await fixture.api.get(`${at(fixture)}/${name}`)
      const other = conditionOf(found, type === 'Complete' ? 'Failed' : 'Complete')
      assert.notEqual(other?.['status'], 'True', JSON.stringify(found['status']))
      return conditionOf(found, type)?.['status'] === 'True' && found
    },
    FIVE_MINUTES,
  )

const podsOf = async ({ api, ns }: Fixture, name: string): Promise<Json[]> =>
  (await api.get(ns('pods'), { labelSelector: `job=${name}` }))['items']

const indexOf = (pod: Json): string => String(pod['metadata'].annotations[INDEX])

mirror(
  '[sig-apps] Job should run a job to completion when tasks sometimes fail and are locally restarted [Conformance]',
  async (fixture) => {
    // Fails at first and succeeds when it is started again in the same pod.
    const name = 'fail-once-local'
    const spec = { parallelism: 2, completions: 4, backoffLimit: 6 }
    await start(fixture, job(name, 'failOnce', spec, 'OnFailure'))
    const done = await ended(fixture, name, 'Complete')
    assert.equal(done['status'].succeeded, 4)
    assert.equal(conditionOf(done, 'Complete')?.['reason'], 'CompletionsReached')
    const succeeded = (await podsOf(fixture, name)).filter(
      (pod) => pod['status'].phase === 'Succeeded',
    )
    assert.equal(succeeded.length, 4)
  },
)

mirror(
  '[sig-apps] Job should create pods for an Indexed job with completion indexes and specified hostname [Conformance]',
  async (fixture) => {
    await start(
      fixture,
      job('indexed-job', 'succeed', {
        parallelism: 2,
        completions: 4,
        backoffLimit: 6,
        completionMode: 'Indexed',
      }),
    )
    const done = await ended(fixture, 'indexed-job', 'Complete')
    assert.equal(done['status'].completedIndexes, '0-3')
    assert.equal(done['status'].succeeded, 4)
    const pods = (await podsOf(fixture, 'indexed-job')).filter(
      (pod) => pod['status'].phase === 'Succeeded',
    )
    assert.deepEqual(pods.map(indexOf).toSorted(), ['0', '1', '2', '3'])
    for (const pod of pods) {
      assert.equal(pod['spec'].hostname, `indexed-job-${indexOf(pod)}`)
      assert.match(pod['metadata'].name, new RegExp(`^indexed-job-${indexOf(pod)}-`))
      assert.equal(pod['metadata'].labels[INDEX], indexOf(pod))
    }
  },
)

mirror(
  '[sig-apps] Job should allow to use the pod failure policy on exit code to fail the job early [Conformance]',
  async (fixture) => {
    // The pods that would come after the first failures would succeed.
    const name = 'pod-failure-failjob'
    await start(
      fixture,
      await onOneNode(
        fixture,
        job(name, 'failOnce', {
          parallelism: 2,
          completions: 4,
          backoffLimit: 6,
          podFailurePolicy: {
            rules: [{ action: 'FailJob', onExitCodes: { operator: 'In', values: [1] } }],
          },
        }),
      ),
    )
    const done = await ended(fixture, name, 'Failed')
    assert.equal(conditionOf(done, 'FailureTarget')?.['reason'], 'PodFailurePolicy')
    assert.equal(conditionOf(done, 'Failed')?.['reason'], 'PodFailurePolicy')
  },
)

mirror(
  '[sig-apps] Job should allow to use a pod failure policy to ignore failure matching on DisruptionTarget condition [Conformance]',
  async (fixture) => {
    const { api, ns, until } = fixture
    const name = 'evicted-pod-ignore-on-disruption-condition'
    const number = 3
    // Each runs until it is evicted; the one that takes its place succeeds.
    const made = await onOneNode(
      fixture,
      job(name, 'notTerminateOncePerIndex', {
        parallelism: number,
        completions: number,
        backoffLimit: number - 1,
        completionMode: 'Indexed',
        podFailurePolicy: {
          rules: [
            { action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] },
          ],
        },
      }),
    )
    const pod = made['spec'].template.spec
    pod.terminationGracePeriodSeconds = 1
    pod.containers[0].readinessProbe = {
      exec: { command: ['/bin/sh', '-c', 'cat /data/foo-$JOB_COMPLETION_INDEX'] },
      periodSeconds: 1,
    }
    await start(fixture, made)
    await until(
      'all are ready',
      async () => (await api.get(`${at(fixture)}/${name}`))['status'].ready === number,
      FIVE_MINUTES,
    )
    const running = (await podsOf(fixture, name)).filter(
      ({ status, metadata }) =>
        status.phase === 'Running' && metadata.deletionTimestamp === undefined,
    )
    assert.equal(running.length, number)
    await Promise.all(
      running.map(async ({ metadata }) => {
        const path = ns(`pods/${metadata.name}`)
        await api.post(`${path}/eviction`, {
          metadata: { name: metadata.name, namespace: fixture.namespace, creationTimestamp: null },
        })
        await until('the evicted pod is gone', () => gone(api, path), FIVE_MINUTES)
      }),
    )
    const done = await ended(fixture, name, 'Complete')
    assert.equal(done['status'].succeeded, number)
    assert.equal(done['status'].failed ?? 0, 0)
    assert.equal(conditionOf(done, 'Complete')?.['reason'], 'CompletionsReached')
  },
)

mirror(
  '[sig-apps] Job should execute all indexes despite some failing when using backoffLimitPerIndex [Conformance]',
  async (fixture) => {
    const name = 'with-backoff-limit-per-index'
    await start(
      fixture,
      job(name, 'failOddSucceedEven', {
        parallelism: 2,
        completions: 4,
        completionMode: 'Indexed',
        backoffLimitPerIndex: 1,
      }),
    )
    const done = await ended(fixture, name, 'Failed')
    assert.equal(done['status'].failedIndexes, '1,3')
    assert.equal(done['status'].completedIndexes, '0,2')
    assert.equal(done['status'].failed, 4)
    assert.equal(done['status'].succeeded, 2)
    assert.equal(conditionOf(done, 'Failed')?.['reason'], 'FailedIndexes')
  },
)

mirror(
  '[sig-apps] Job should terminate job execution when the number of failed indexes exceeds maxFailedIndexes [Conformance]',
  async (fixture) => {
    const name = 'with-max-failed-indexes'
    await start(
      fixture,
      job(name, 'fail', {
        parallelism: 1,
        completions: 4,
        completionMode: 'Indexed',
        backoffLimitPerIndex: 0,
        maxFailedIndexes: 0,
      }),
    )
    const done = await ended(fixture, name, 'Failed')
    assert.equal(conditionOf(done, 'Failed')?.['reason'], 'MaxFailedIndexesExceeded')
    // Not one pod more was made.
    assert.equal(done['status'].failedIndexes, '0')
    assert.equal(done['status'].failed, 1)
  },
)

mirror(
  '[sig-apps] Job should mark indexes as failed when the FailIndex action is matched in podFailurePolicy [Conformance]',
  async (fixture) => {
    const name = 'matching-fail-index-action'
    await start(
      fixture,
      job(name, 'failOddSucceedEven', {
        parallelism: 2,
        completions: 2,
        completionMode: 'Indexed',
        backoffLimitPerIndex: 1,
        podFailurePolicy: {
          rules: [{ action: 'FailIndex', onExitCodes: { operator: 'In', values: [1] } }],
        },
      }),
    )
    const done = await ended(fixture, name, 'Failed')
    assert.equal(done['status'].failedIndexes, '1')
    assert.equal(done['status'].completedIndexes, '0')
    assert.equal(done['status'].failed, 1)
    assert.equal(done['status'].succeeded, 1)
  },
)

const success = (
  what: string,
  name: string,
  does: Parameters<typeof job>[1],
  spec: Json,
  expected: { readonly completed: string; readonly succeeded: number; readonly failed?: number },
): void => {
  mirror(`[sig-apps] Job with successPolicy ${what} [Conformance]`, async (fixture) => {
    await start(fixture, job(name, does, { parallelism: 2, completionMode: 'Indexed', ...spec }))
    const done = await ended(fixture, name, 'Complete')
    const met = conditionOf(done, 'SuccessCriteriaMet')
    assert.equal(met?.['status'], 'True')
    assert.equal(met['reason'], 'SuccessPolicy')
    assert.equal(conditionOf(done, 'Complete')?.['reason'], 'SuccessPolicy')
    const { status } = done
    assert.equal(status.completedIndexes, expected.completed)
    assert.equal(status.succeeded, expected.succeeded)
    assert.deepEqual([status.active ?? 0, status.ready, status.terminating], [0, 0, 0])
    if (expected.failed !== undefined) assert.equal(status.failed ?? 0, expected.failed)
  })
}

success(
  'should succeeded when all indexes succeeded',
  'with-success-policy-all-index-succeeded',
  // The image's own command: a shell that finds nothing to read.
  'nothing said',
  { completions: 2, backoffLimit: 6, successPolicy: { rules: [{ succeededCount: 2 }] } },
  { completed: '0,1', succeeded: 2, failed: 0 },
)
success(
  'succeededIndexes rule should succeeded even when some indexes remain pending',
  'with-success-policy-succeeded-indexed',
  'failOddSucceedEven',
  { completions: 5, backoffLimit: 6, successPolicy: { rules: [{ succeededIndexes: '0' }] } },
  { completed: '0', succeeded: 1 },
)
success(
  'succeededCount rule should succeeded even when some indexes remain pending',
  'with-success-policy-succeeded-count',
  'failOddSucceedEven',
  {
    completions: 5,
    backoffLimit: 0x7f_ff_ff_ff,
    successPolicy: { rules: [{ succeededCount: 1 }] },
  },
  { completed: '0', succeeded: 1 },
)

mirror('[sig-apps] Job should manage the lifecycle of a job [Conformance]', async (fixture) => {
  const { api, until, namespace } = fixture
  const name = 'e2e-lifecycle'
  const selector = { labelSelector: 'e2e-job-label=e2e-lifecycle' }
  const made = job(name, 'succeed', {
    parallelism: 2,
    completions: 4,
    backoffLimit: 6,
    suspend: true,
  })
  made['metadata'].labels = { 'e2e-job-label': name }
  await start(fixture, made)
  await until('it is suspended', async () =>
    conditionOf(await api.get(`${at(fixture)}/${name}`), 'Suspended'),
  )
  assert.deepEqual(await podsOf(fixture, name), [])
  const patched = await api.patch(
    `${at(fixture)}/${name}`,
    { metadata: { labels: { [name]: 'patched' } } },
    'strategic-merge',
  )
  assert.equal(patched['metadata'].labels[name], 'patched')
  const watching = await api.watch(at(fixture), selector)
  const updated = await change(api, `${at(fixture)}/${name}`, (object) => {
    object['spec'].suspend = false
    object['metadata'].annotations = { updated: 'true' }
  })
  assert.equal(updated['metadata'].annotations.updated, 'true')
  await frame(watching, 'MODIFIED', name, (o) => o['metadata'].annotations?.updated === 'true')
  await ended(fixture, name, 'Complete')
  const everywhere = (await api.get('/apis/batch/v1/jobs', selector))['items'].filter(
    (each: Json) => each['metadata'].namespace === namespace,
  )
  assert.equal(everywhere.length, 1)
  await api.delete(at(fixture), { propagationPolicy: 'Background' }, selector)
  await frame(watching, 'DELETED', name)
  await until('its pods are gone', async () => (await podsOf(fixture, name)).length === 0)
  watching.stop()
})
