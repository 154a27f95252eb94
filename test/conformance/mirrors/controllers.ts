import assert from 'node:assert/strict'
import type { Json } from '../api.ts'
import { mirror, type Fixture } from '../mirror.ts'
import {
  AGNHOST,
  AGNHOST_BEFORE,
  BUSYBOX,
  change,
  conditionOf,
  frame,
  gone,
  pod,
  readyPods,
  replicationController,
  runningPod,
  statefulSet,
  service,
  scaledTo,
  scalePatch,
} from '../support.ts'
import { statusEndpoints } from './deployments.ts'

const isOwnedBy = (object: Json, owner: Json): boolean =>
  (object['metadata'].ownerReferences ?? []).some(
    (ref: Json) => ref['controller'] === true && ref['uid'] === owner['metadata'].uid,
  )

mirror(
  '[sig-apps] ReplicationController should adopt matching pods on creation [Conformance]',
  async (fixture) => {
    const { api, ns, until } = fixture
    await api.post(
      ns('pods'),
      pod('pod-adoption', { metadata: { labels: { name: 'pod-adoption' } } }),
    )
    await runningPod(fixture, 'pod-adoption')
    const rc = await api.post(ns('replicationcontrollers'), replicationController('pod-adoption'))
    await until('the orphan is adopted', async () =>
      isOwnedBy(await api.get(ns('pods/pod-adoption')), rc),
    )
    assert.equal((await readyPods(fixture, 'name=pod-adoption', 1)).length, 1)
  },
)

mirror(
  '[sig-apps] ReplicationController should release no longer matching pods [Conformance]',
  async (fixture) => {
    const { api, ns, until } = fixture
    const rc = await api.post(ns('replicationcontrollers'), replicationController('pod-release'))
    const [first] = await readyPods(fixture, 'name=pod-release', 1)
    const path = ns(`pods/${first?.['metadata'].name}`)
    await change(api, path, (object) => {
      object['metadata'].labels['name'] = 'not-matching-name'
    })
    await until('it is released', async () => !isOwnedBy(await api.get(path), rc))
  },
)

mirror(
  '[sig-apps] ReplicationController should get and update a ReplicationController scale [Conformance]',
  async (fixture) => {
    const { api, ns, until } = fixture
    const path = ns('replicationcontrollers/e2e-rc')
    await api.post(ns('replicationcontrollers'), replicationController('e2e-rc'))
    await readyPods(fixture, 'name=e2e-rc', 1)
    const scale = await api.get(`${path}/scale`)
    assert.deepEqual([scale['kind'], scale['spec'].replicas], ['Scale', 1])
    const updated = await api.put(`${path}/scale`, scaledTo(scale, 2))
    assert.equal(updated['spec'].replicas, 2)
    await until('two are there', async () => (await api.get(path))['status'].replicas === 2)
  },
)

mirror(
  '[sig-apps] ReplicationController should test the lifecycle of a ReplicationController [Conformance]',
  async (fixture) => {
    const { api, ns, namespace } = fixture
    const collection = ns('replicationcontrollers')
    const path = `${collection}/rc-test`
    const selector = { labelSelector: 'test-rc-static=true' }
    const labels = { 'test-rc-static': 'true' }
    const watching = await api.watch(collection, selector)
    await api.post(collection, replicationController('rc-test', { labels }))
    await frame(watching, 'ADDED', 'rc-test')
    await frame(watching, 'MODIFIED', 'rc-test', (o) => o['status'].readyReplicas === 1)
    // A typed client writes what is zero, too.
    const patched = await api.patch(
      path,
      {
        metadata: { labels: { 'test-rc': 'patched' }, creationTimestamp: null },
        spec: {},
        status: { replicas: 0 },
      },
      'strategic-merge',
    )
    assert.equal(patched['status'].replicas, 1)
    assert.notEqual(patched['metadata'].creationTimestamp, null)
    await frame(
      watching,
      'MODIFIED',
      'rc-test',
      (o) => o['metadata'].labels['test-rc'] === 'patched',
    )
    await api.patch(
      `${path}/status`,
      { status: { readyReplicas: 0, availableReplicas: 0 } },
      'merge',
    )
    await frame(watching, 'MODIFIED', 'rc-test', (o) => (o['status'].readyReplicas ?? 0) === 0)
    await frame(watching, 'MODIFIED', 'rc-test', (o) => o['status'].readyReplicas === 1)
    assert.equal((await api.get(`${path}/status`))['metadata'].name, 'rc-test')
    await api.patch(`${path}/scale`, scalePatch(2), 'strategic-merge')
    await frame(
      watching,
      'MODIFIED',
      'rc-test',
      (o) => o['spec'].replicas === 2 && o['status'].readyReplicas === 2,
    )
    const listed = (await api.get('/api/v1/replicationcontrollers', selector))['items'].filter(
      (rc: Json) => rc['metadata'].namespace === namespace,
    )
    assert.equal(listed.length, 1)
    // Not what is so: the controller says so again later.
    await change(
      api,
      path,
      (object) => {
        object['status'].availableReplicas = 1
        object['status'].readyReplicas = 1
      },
      `${path}/status`,
    )
    await frame(watching, 'MODIFIED', 'rc-test', (o) => o['status'].readyReplicas === 1)
    await frame(watching, 'MODIFIED', 'rc-test', (o) => o['status'].readyReplicas === 2)
    await api.delete(collection, undefined, selector)
    await frame(watching, 'DELETED', 'rc-test')
    watching.stop()
  },
)

const batch = ({ namespace }: Fixture): string => `/apis/batch/v1/namespaces/${namespace}/jobs`

const job = (name: string, parallelism: number, completions: number, extra: Json = {}): Json => ({
  apiVersion: 'batch/v1',
  kind: 'Job',
  metadata: { name, ...extra['metadata'] },
  spec: {
    parallelism,
    completions,
    backoffLimit: 6,
    template: {
      metadata: { labels: { job: name } },
      spec: {
        restartPolicy: 'Never',
        terminationGracePeriodSeconds: 0,
        containers: [{ name: 'c', image: BUSYBOX, command: ['sleep', '1000000'] }],
      },
    },
    ...extra['spec'],
  },
})

mirror('[sig-apps] Job should delete a job [Conformance]', async (fixture) => {
  const { api, until } = fixture
  const path = `${batch(fixture)}/foo`
  await api.post(batch(fixture), job('foo', 2, 4))
  await readyPods(fixture, 'job=foo', 2)
  await api.delete(path, { propagationPolicy: 'Foreground' })
  await until('the job is gone', () => gone(api, path))
  assert.equal((await api.get(fixture.ns('pods'), { labelSelector: 'job=foo' }))['items'].length, 0)
})

mirror(
  '[sig-apps] Job should adopt matching orphans and release non-matching pods [Conformance]',
  async (fixture) => {
    const { api, ns, until } = fixture
    const made = await api.post(batch(fixture), job('adopt-release', 2, 4))
    const [first] = await readyPods(fixture, 'job=adopt-release', 2)
    const path = ns(`pods/${first?.['metadata'].name}`)
    await change(api, path, (object) => {
      delete object['metadata'].ownerReferences
    })
    await until('the orphan is adopted', async () => isOwnedBy(await api.get(path), made))
    await change(api, path, (object) => {
      object['metadata'].labels = null
    })
    await until('it is released', async () => !isOwnedBy(await api.get(path), made))
  },
)

mirror('[sig-apps] Job should apply changes to a job status [Conformance]', async (fixture) => {
  const { api } = fixture
  const path = `${batch(fixture)}/suspend-false-to-true`
  await api.post(batch(fixture), job('suspend-false-to-true', 2, 4))
  await readyPods(fixture, 'job=suspend-false-to-true', 2)
  const startTime = '2026-01-01T00:00:00Z'
  const patched = await api.patch(
    `${path}/status`,
    {
      metadata: { annotations: { patchedstatus: 'true' } },
      status: { conditions: [{ type: 'StatusPatched', status: 'True', reason: 'E2E' }] },
    },
    'merge',
  )
  assert.equal(patched['metadata'].annotations.patchedstatus, 'true')
  assert.equal(conditionOf(patched, 'StatusPatched')?.['reason'], 'E2E')
  const updated = await change(
    api,
    path,
    (object) => {
      object['status'].conditions = [
        ...(object['status'].conditions ?? []),
        { type: 'StatusUpdate', status: 'True', reason: 'E2E', lastTransitionTime: startTime },
      ]
    },
    `${path}/status`,
  )
  assert.equal(conditionOf(updated, 'StatusUpdate')?.['reason'], 'E2E')
  const read = await api.get(`${path}/status`)
  assert.equal(read['metadata'].uid, patched['metadata'].uid)
  assert.equal(conditionOf(read, 'StatusUpdate')?.['reason'], 'E2E')
})

const sets = ({ namespace }: Fixture): string =>
  `/apis/apps/v1/namespaces/${namespace}/statefulsets`

const headless = async ({ api, ns }: Fixture, labels: Json): Promise<unknown> =>
  api.post(
    ns('services'),
    service('test', {
      clusterIP: 'None',
      selector: labels,
      ports: [{ port: 80, name: 'http', protocol: 'TCP' }],
    }),
  )

const LABELS = { foo: 'bar', baz: 'blah' }
const BASIC = '[sig-apps] StatefulSet Basic StatefulSet functionality [StatefulSetBasic]'
const basic = (name: string, replicas: number, container: Json = {}): Json =>
  statefulSet(name, { replicas, labels: LABELS, container, spec: { serviceName: 'test' } })

mirror(`${BASIC} should have a working scale subresource [Conformance]`, async (fixture) => {
  const { api } = fixture
  const path = `${sets(fixture)}/ss`
  await headless(fixture, LABELS)
  await api.post(sets(fixture), basic('ss', 1))
  await readyPods(fixture, 'foo=bar', 1)
  const scale = await api.get(`${path}/scale`)
  assert.equal(scale['spec'].replicas, 1)
  assert.equal(scale['status'].selector, 'baz=blah,foo=bar')
  const updated = await api.put(`${path}/scale`, scaledTo(scale, 2))
  assert.equal(updated['spec'].replicas, 2)
  assert.equal((await api.get(path))['spec'].replicas, 2)
  await api.patch(`${path}/scale`, scalePatch(4), 'strategic-merge')
  assert.equal((await api.get(path))['spec'].replicas, 4)
})

mirror(
  `${BASIC} should list, patch and delete a collection of StatefulSets [Conformance]`,
  async (fixture) => {
    const { api, until, unique } = fixture
    const mark = unique('ss')
    await headless(fixture, LABELS)
    const selector = { labelSelector: `mark=${mark}` }
    const made = basic('test-ss', 1, { image: AGNHOST_BEFORE })
    made['metadata'].labels = { ...LABELS, mark }
    await api.post(sets(fixture), made)
    await readyPods(fixture, 'foo=bar', 1)
    await api.patch(
      `${sets(fixture)}/test-ss`,
      {
        metadata: { labels: { 'test-ss': 'patched' } },
        spec: {
          replicas: 2,
          template: {
            spec: {
              // A field that nobody knows is left out.
              TerminationGracePeriodSeconds: 1,
              containers: [{ name: 'c', image: AGNHOST }],
            },
          },
        },
      },
      'strategic-merge',
    )
    await until(
      'two of the new image are ready',
      async () => {
        const { status, metadata, spec } = await api.get(`${sets(fixture)}/test-ss`)
        return (
          metadata.labels['test-ss'] === 'patched' &&
          spec.template.spec.containers[0].image === AGNHOST &&
          status.observedGeneration === metadata.generation &&
          status.readyReplicas === 2 &&
          status.updatedReplicas === 2
        )
      },
      300_000,
    )
    assert.equal((await api.get('/apis/apps/v1/statefulsets', selector))['items'].length, 1)
    await api.delete(sets(fixture), { gracePeriodSeconds: 1 }, selector)
    assert.equal((await api.get('/apis/apps/v1/statefulsets', selector))['items'].length, 0)
  },
)

mirror(`${BASIC} should validate Statefulset Status endpoints [Conformance]`, async (fixture) => {
  await headless(fixture, LABELS)
  await fixture.api.post(sets(fixture), basic('ss', 1))
  await readyPods(fixture, 'foo=bar', 1)
  await statusEndpoints(fixture, sets(fixture), 'ss', 'foo=bar')
})

mirror(`${BASIC} Should recreate evicted statefulset [Conformance]`, async (fixture) => {
  const { api, ns, until } = fixture
  await headless(fixture, LABELS)
  const { items } = await api.get('/api/v1/nodes', { fieldSelector: 'spec.unschedulable=false' })
  const nodeName = String(items[0].metadata.name)
  const port = { containerPort: 21_017, hostPort: 21_017, name: 'conflict' }
  await api.post(ns('pods'), pod('test-pod', { container: { ports: [port] }, spec: { nodeName } }))
  await runningPod(fixture, 'test-pod')
  const made = basic('ss', 1, { ports: [port] })
  made['spec'].template.spec.nodeName = nodeName
  const watching = await api.watch(ns('pods'), { labelSelector: 'foo=bar' })
  await api.post(sets(fixture), made)
  // The kubelet refuses it, and the controller tries again.
  const failed = await watching.next(
    'the pod fails',
    ({ type, object }) => type === 'MODIFIED' && object['status'].phase === 'Failed',
  )
  const { uid } = failed.object['metadata']
  await watching.next(
    'it is deleted',
    ({ type, object }) => type === 'DELETED' && object['metadata'].uid === uid,
  )
  await api.delete(ns('pods/test-pod'), { gracePeriodSeconds: 0 })
  await until('the set gets its pod', async () => {
    const answer = await api.call('GET', ns('pods/ss-0'))
    return answer.json['status']?.phase === 'Running' && answer.json['metadata'].uid !== uid
  })
  watching.stop()
})
