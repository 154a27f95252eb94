/** StatefulSets whose pods really run: their order, and their updates. */
import assert from 'node:assert/strict'
import type { Json } from '../api.ts'
import { needsContainers } from '../containers.ts'
import { kubectl } from '../kubectl.ts'
import { mirror, type Fixture } from '../mirror.ts'
import { AGNHOST, AGNHOST_BEFORE, change, isReady, service, statefulSet } from '../support.ts'

const LABELS = { foo: 'bar', baz: 'blah' }
const WITHIN = 300_000
const at = ({ namespace }: Fixture): string => `/apis/apps/v1/namespaces/${namespace}/statefulsets`

/** Ready while its page is there: a test takes the page away and brings it back. */
const breakable = (name: string, replicas: number, spec: Json = {}): Json =>
  statefulSet(name, {
    replicas,
    labels: LABELS,
    container: {
      name: 'webserver',
      image: AGNHOST_BEFORE,
      command: ['sh', '-c', 'echo test > /index.html; exec /agnhost test-webserver'],
      readinessProbe: {
        httpGet: { path: '/index.html', port: 80 },
        periodSeconds: 1,
        successThreshold: 1,
        failureThreshold: 1,
      },
    },
    spec: { serviceName: 'test', ...spec },
  })

const start = async (fixture: Fixture, made: Json): Promise<void> => {
  await needsContainers(fixture)
  const { api, ns } = fixture
  await api.post(
    ns('services'),
    service('test', { clusterIP: 'None', selector: LABELS, ports: [{ port: 80, name: 'http' }] }),
  )
  await api.post(at(fixture), made)
}

const podsOf = async ({ api, ns }: Fixture): Promise<Json[]> =>
  (await api.get(ns('pods'), { labelSelector: 'foo=bar' }))['items'].toSorted((a: Json, b: Json) =>
    String(a['metadata'].name).localeCompare(String(b['metadata'].name)),
  )

const ready = (fixture: Fixture, count: number): Promise<Json[]> =>
  fixture.until(
    `${count} pods are ready`,
    async () => {
      const found = await podsOf(fixture)
      return found.length === count && found.every(isReady) && found
    },
    WITHIN,
  )

const exec = (fixture: Fixture, name: string, line: string): Promise<string> =>
  kubectl(fixture, ['exec', name, '--', 'sh', '-c', line])
const spoil = (fixture: Fixture, name: string): Promise<string> =>
  exec(fixture, name, 'mv -f /index.html /tmp/ || true')
const mend = (fixture: Fixture, name: string): Promise<string> =>
  exec(fixture, name, 'mv -f /tmp/index.html / || true')

const unready = (fixture: Fixture, names: readonly string[]): Promise<unknown> =>
  fixture.until(
    `${names.join()} are not ready`,
    async () =>
      (await podsOf(fixture)).every(
        (each) => !names.includes(String(each['metadata'].name)) || !isReady(each),
      ),
    WITHIN,
  )

const scale = ({ api, namespace }: Fixture, name: string, replicas: number): Promise<Json> =>
  api.patch(
    `/apis/apps/v1/namespaces/${namespace}/statefulsets/${name}/scale`,
    { spec: { replicas } },
    'merge',
  )

const stays = async (fixture: Fixture, count: number): Promise<void> => {
  const end = performance.now() + (fixture.profile === 'fast' ? 3000 : 10_000)
  while (performance.now() < end) assert.equal((await podsOf(fixture)).length, count)
}

const BASIC = '[sig-apps] StatefulSet Basic StatefulSet functionality [StatefulSetBasic]'

mirror(
  `${BASIC} Scaling should happen in predictable order and halt if any stateful pod is unhealthy [Conformance] [Slow]`,
  async (fixture) => {
    const { api, ns } = fixture
    await start(fixture, breakable('ss', 1))
    await ready(fixture, 1)
    await spoil(fixture, 'ss-0')
    await unready(fixture, ['ss-0'])
    const watching = await api.watch(ns('pods'), { labelSelector: 'foo=bar' })
    await scale(fixture, 'ss', 3)
    await stays(fixture, 1)
    await mend(fixture, 'ss-0')
    await ready(fixture, 3)
    const added = watching.frames
      .filter((f) => f.type === 'ADDED')
      .map((f) => f.object['metadata'].name)
    assert.deepEqual(added, ['ss-0', 'ss-1', 'ss-2'])
    // Downwards in the other order, and not while they are unwell.
    const all = ['ss-0', 'ss-1', 'ss-2']
    for (const name of all) await spoil(fixture, name)
    await unready(fixture, all)
    await scale(fixture, 'ss', 0)
    await stays(fixture, 3)
    // The last may have gone before its turn: it is the only one that is unwell then.
    for (const name of all) await mend(fixture, name).catch(() => undefined)
    await fixture.until('all are gone', async () => (await podsOf(fixture)).length === 0, WITHIN)
    const deleted = watching.frames
      .filter((f) => f.type === 'DELETED')
      .map((f) => f.object['metadata'].name)
    assert.deepEqual(deleted, ['ss-2', 'ss-1', 'ss-0'])
    watching.stop()
  },
)

mirror(
  `${BASIC} Burst scaling should run to completion even with unhealthy pods [Conformance] [Slow]`,
  async (fixture) => {
    await start(fixture, breakable('ss', 1, { podManagementPolicy: 'Parallel' }))
    await ready(fixture, 1)
    await spoil(fixture, 'ss-0')
    await unready(fixture, ['ss-0'])
    await scale(fixture, 'ss', 3)
    await fixture.until('three are there', async () => (await podsOf(fixture)).length === 3, WITHIN)
    await mend(fixture, 'ss-0')
    await ready(fixture, 3)
    for (const name of ['ss-0', 'ss-1', 'ss-2']) await spoil(fixture, name)
    await unready(fixture, ['ss-0', 'ss-1', 'ss-2'])
    await scale(fixture, 'ss', 0)
    await fixture.until('all are gone', async () => (await podsOf(fixture)).length === 0, WITHIN)
  },
)

const imagesOf = async (fixture: Fixture): Promise<string[]> =>
  (await podsOf(fixture)).map((each) => String(each['spec'].containers[0].image))
const settled = (fixture: Fixture, images: readonly string[]): Promise<unknown> =>
  fixture.until(
    `pods are of ${images.join()}`,
    async () =>
      (await imagesOf(fixture)).join() === images.join() && (await podsOf(fixture)).every(isReady),
    WITHIN,
  )
const image = (fixture: Fixture, name: string): Promise<Json> =>
  change(fixture.api, `${at(fixture)}/ss2`, (object) => {
    object['spec'].template.spec.containers[0].image = name
  })
const status = async (fixture: Fixture): Promise<Json> =>
  (await fixture.api.get(`${at(fixture)}/ss2`))['status']

mirror(
  `${BASIC} should perform rolling updates and roll backs of template modifications [Conformance]`,
  async (fixture) => {
    await start(fixture, breakable('ss2', 3))
    await ready(fixture, 3)
    const first = await status(fixture)
    assert.equal(first['currentRevision'], first['updateRevision'])
    // One that is unwell is replaced all the same.
    await spoil(fixture, 'ss2-1')
    await unready(fixture, ['ss2-1'])
    await image(fixture, AGNHOST)
    await fixture.until('there is a new revision', async () => {
      const { currentRevision, updateRevision } = await status(fixture)
      return currentRevision !== updateRevision
    })
    await mend(fixture, 'ss2-1').catch(() => undefined)
    await settled(fixture, [AGNHOST, AGNHOST, AGNHOST])
    await fixture.until('the new revision is the current one', async () => {
      const { currentRevision, updateRevision } = await status(fixture)
      return currentRevision === updateRevision && updateRevision !== first['currentRevision']
    })
    await image(fixture, AGNHOST_BEFORE)
    await settled(fixture, [AGNHOST_BEFORE, AGNHOST_BEFORE, AGNHOST_BEFORE])
    await fixture.until(
      'the first revision is the current one again',
      async () => (await status(fixture))['currentRevision'] === first['currentRevision'],
    )
  },
)

mirror(
  `${BASIC} should perform canary updates and phased rolling updates of template modifications [Conformance]`,
  async (fixture) => {
    const { api } = fixture
    const partition = (value: number): Promise<Json> =>
      change(api, `${at(fixture)}/ss2`, (object) => {
        object['spec'].updateStrategy = {
          type: 'RollingUpdate',
          rollingUpdate: { partition: value },
        }
      })
    await start(
      fixture,
      breakable('ss2', 3, {
        updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: 3 } },
      }),
    )
    await ready(fixture, 3)
    await image(fixture, AGNHOST)
    await stays(fixture, 3)
    const old = AGNHOST_BEFORE
    await settled(fixture, [old, old, old])
    await partition(2)
    await settled(fixture, [old, old, AGNHOST])
    // A pod that is deleted comes back in the revision of its ordinal.
    for (const name of ['ss2-0', 'ss2-2'])
      await api.delete(fixture.ns(`pods/${name}`), { gracePeriodSeconds: 0 })
    await ready(fixture, 3)
    await settled(fixture, [old, old, AGNHOST])
    await partition(1)
    await settled(fixture, [old, AGNHOST, AGNHOST])
    await partition(0)
    await settled(fixture, [AGNHOST, AGNHOST, AGNHOST])
    await fixture.until('the new revision is the current one', async () => {
      const { currentRevision, updateRevision } = await status(fixture)
      return currentRevision === updateRevision
    })
  },
)
