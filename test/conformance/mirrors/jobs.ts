/** Jobs whose containers really run and end. */
import assert from 'node:assert/strict'
import type { Json } from '../api.ts'
import { needsContainers } from '../containers.ts'
import { mirror, type Fixture } from '../mirror.ts'
import { BUSYBOX, change, conditionOf, frame, readyPods } from '../support.ts'

const at = ({ namespace }: Fixture): string => `/apis/batch/v1/namespaces/${namespace}/jobs`
const FIVE_MINUTES = 300_000

const job = (name: string, line: string, spec: Json, podSpec: Json = {}): Json => ({
  apiVersion: 'batch/v1',
  kind: 'Job',
  metadata: { name },
  spec: {
    template: {
      metadata: { labels: { job: name } },
      spec: {
        restartPolicy: 'Never',
        terminationGracePeriodSeconds: 1,
        containers: [{ name: 'c', image: BUSYBOX, command: ['sh', '-c', line] }],
        ...podSpec,
      },
    },
    ...spec,
  },
})

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

const INDEX = 'batch.kubernetes.io/job-completion-index'
const indexOf = (pod: Json): string => String(pod['metadata'].annotations[INDEX])

/** Even indexes fail. */
const EVEN_FAILS = 'test $((JOB_COMPLETION_INDEX % 2)) -eq 1'

mirror(
  '[sig-apps] Job should run a job to completion when tasks sometimes fail and are locally restarted [Conformance]',
  async (fixture) => {
    // Fails at first and succeeds when it is started again in the same pod.
    await start(
      fixture,
      job(
        'fail-once-local',
        'if [ -e /data/tried ]; then exit 0; fi; touch /data/tried; exit 1',
        { parallelism: 2, completions: 4, backoffLimit: 6 },
        {
          restartPolicy: 'OnFailure',
          volumes: [{ name: 'data', emptyDir: {} }],
          containers: [
            {
              name: 'c',
              image: BUSYBOX,
              command: [
                'sh',
                '-c',
                'if [ -e /data/tried ]; then exit 0; fi; touch /data/tried; exit 1',
              ],
              volumeMounts: [{ name: 'data', mountPath: '/data' }],
            },
          ],
        },
      ),
    )
    const done = await ended(fixture, 'fail-once-local', 'Complete')
    assert.equal(done['status'].succeeded, 4)
    const succeeded = (await podsOf(fixture, 'fail-once-local')).filter(
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
      job('indexed-job', 'exit 0', { parallelism: 2, completions: 4, completionMode: 'Indexed' }),
    )
    const done = await ended(fixture, 'indexed-job', 'Complete')
    assert.equal(done['status'].completedIndexes, '0-3')
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
    await start(
      fixture,
      job('pod-failure-failjob', 'exit 1', {
        parallelism: 1,
        completions: 1,
        backoffLimit: 0x7f_ff_ff_ff,
        podFailurePolicy: {
          rules: [
            {
              action: 'FailJob',
              onExitCodes: { containerName: 'c', operator: 'In', values: [1] },
            },
          ],
        },
      }),
    )
    const done = await ended(fixture, 'pod-failure-failjob', 'Failed')
    assert.equal(conditionOf(done, 'Failed')?.['reason'], 'PodFailurePolicy')
  },
)

mirror(
  '[sig-apps] Job should allow to use a pod failure policy to ignore failure matching on DisruptionTarget condition [Conformance]',
  async (fixture) => {
    const { api, ns, until } = fixture
    const name = 'pod-failure-ignore'
    // Runs until it is evicted; the next one finds that it may end.
    await start(
      fixture,
      job(name, 'sleep 1000000', {
        parallelism: 1,
        completions: 1,
        backoffLimit: 0,
        podFailurePolicy: {
          rules: [
            { action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] },
          ],
        },
      }),
    )
    const [first] = await readyPods(fixture, `job=${name}`, 1)
    const podName = String(first?.['metadata'].name)
    const evicted = await api.call('POST', ns(`pods/${podName}/eviction`), {
      body: { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name: podName } },
    })
    assert.equal(evicted.status, 201)
    await until(
      'another pod takes its place',
      async () =>
        (await podsOf(fixture, name)).some(
          (pod) =>
            pod['metadata'].uid !== first?.['metadata'].uid && pod['status'].phase === 'Running',
        ),
      FIVE_MINUTES,
    )
    const found = await api.get(`${at(fixture)}/${name}`)
    assert.equal(found['status'].failed ?? 0, 0)
    assert.equal(conditionOf(found, 'Failed'), undefined)
  },
)

mirror(
  '[sig-apps] Job should execute all indexes despite some failing when using backoffLimitPerIndex [Conformance]',
  async (fixture) => {
    const name = 'with-backofflimitperindex'
    await start(
      fixture,
      job(name, EVEN_FAILS, {
        parallelism: 2,
        completions: 4,
        completionMode: 'Indexed',
        backoffLimitPerIndex: 1,
      }),
    )
    const done = await ended(fixture, name, 'Failed')
    assert.equal(done['status'].failedIndexes, '0,2')
    assert.equal(done['status'].completedIndexes, '1,3')
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
      job(name, 'exit 1', {
        parallelism: 10,
        completions: 10,
        completionMode: 'Indexed',
        backoffLimitPerIndex: 0,
        maxFailedIndexes: 4,
      }),
    )
    const done = await ended(fixture, name, 'Failed')
    assert.equal(conditionOf(done, 'Failed')?.['reason'], 'MaxFailedIndexesExceeded')
    assert.ok(done['status'].failed >= 5)
  },
)

mirror(
  '[sig-apps] Job should mark indexes as failed when the FailIndex action is matched in podFailurePolicy [Conformance]',
  async (fixture) => {
    const name = 'failindex-action'
    await start(
      fixture,
      job(name, 'if [ $JOB_COMPLETION_INDEX -eq 0 ]; then exit 42; fi; exit 0', {
        parallelism: 2,
        completions: 2,
        completionMode: 'Indexed',
        backoffLimitPerIndex: 1,
        podFailurePolicy: {
          rules: [{ action: 'FailIndex', onExitCodes: { operator: 'In', values: [42] } }],
        },
      }),
    )
    const done = await ended(fixture, name, 'Failed')
    assert.equal(done['status'].failedIndexes, '0')
    assert.equal(done['status'].completedIndexes, '1')
    assert.equal(done['status'].failed, 1)
    assert.equal(done['status'].succeeded, 1)
  },
)

const success = (
  what: string,
  name: string,
  line: string,
  completions: number,
  successPolicy: Json,
  expected: { readonly reason: string; readonly completed: string },
): void => {
  mirror(`[sig-apps] Job with successPolicy ${what} [Conformance]`, async (fixture) => {
    await start(
      fixture,
      job(name, line, {
        parallelism: completions,
        completions,
        completionMode: 'Indexed',
        successPolicy,
      }),
    )
    const done = await ended(fixture, name, 'Complete')
    const met = conditionOf(done, 'SuccessCriteriaMet')
    assert.equal(met?.['status'], 'True')
    assert.equal(met['reason'], expected.reason)
    assert.equal(conditionOf(done, 'Complete')?.['reason'], expected.reason)
    assert.equal(done['status'].completedIndexes, expected.completed)
    assert.equal(done['status'].active ?? 0, 0)
  })
}

const ONLY_FIRST = 'if [ $JOB_COMPLETION_INDEX -eq 0 ]; then exit 0; fi; sleep 1000000'
success(
  'should succeeded when all indexes succeeded',
  'with-successpolicy-all',
  'exit 0',
  2,
  { rules: [{ succeededIndexes: '0-1' }] },
  { reason: 'SuccessPolicy', completed: '0,1' },
)
success(
  'succeededIndexes rule should succeeded even when some indexes remain pending',
  'with-successpolicy-indexes',
  ONLY_FIRST,
  2,
  { rules: [{ succeededIndexes: '0' }] },
  { reason: 'SuccessPolicy', completed: '0' },
)
success(
  'succeededCount rule should succeeded even when some indexes remain pending',
  'with-successpolicy-count',
  ONLY_FIRST,
  5,
  { rules: [{ succeededCount: 1 }] },
  { reason: 'SuccessPolicy', completed: '0' },
)

mirror('[sig-apps] Job should manage the lifecycle of a job [Conformance]', async (fixture) => {
  const { api, until, namespace } = fixture
  const name = 'e2e-lifecycle'
  const selector = { labelSelector: 'e2e-job-label=e2e-lifecycle' }
  const made = job(name, 'exit 0', {
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
