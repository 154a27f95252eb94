import assert from 'node:assert/strict'
import type { Json } from '../api.ts'
import { mirror, type Fixture } from '../mirror.ts'
import {
  AGNHOST,
  AGNHOST_BEFORE,
  change,
  conditionOf,
  daemonSet,
  frame,
  gone,
  isReady,
  names,
} from '../support.ts'

const LABELS = { 'daemonset-name': 'daemon-set' }
const SELECTOR = 'daemonset-name=daemon-set'
const at = ({ namespace }: Fixture, resource = 'daemonsets'): string =>
  `/apis/apps/v1/namespaces/${namespace}/${resource}`

/** Where daemons run: nodes without a taint that keeps pods away. */
const usableNodes = async ({ api }: Fixture): Promise<string[]> =>
  (await api.get('/api/v1/nodes'))['items']
    .filter(
      (node: Json) =>
        !(node['spec'].taints ?? []).some((t: Json) =>
          ['NoSchedule', 'NoExecute'].includes(t['effect']),
        ),
    )
    .map((node: Json) => node['metadata'].name as string)

const daemons = async ({ api, ns }: Fixture): Promise<Json[]> =>
  (await api.get(ns('pods'), { labelSelector: SELECTOR }))['items']

/** One ready daemon on each of these nodes, and none elsewhere. */
const runsOn = (fixture: Fixture, wanted: readonly string[]): Promise<Json[]> =>
  fixture.until(
    `daemons run on ${wanted.join()}`,
    async () => {
      const found = (await daemons(fixture)).filter(
        (each) => each['metadata'].deletionTimestamp === undefined,
      )
      const places = found.map((each) => String(each['spec'].nodeName)).toSorted()
      return found.every(isReady) && places.join() === [...wanted].toSorted().join() && found
    },
    300_000,
  )

const start = async (fixture: Fixture, extra: Json = {}): Promise<string[]> => {
  await fixture.api.post(
    at(fixture),
    daemonSet('daemon-set', { labels: LABELS, container: { image: AGNHOST_BEFORE }, ...extra }),
  )
  const nodes = await usableNodes(fixture)
  await runsOn(fixture, nodes)
  return nodes
}

mirror(
  '[sig-apps] Daemon set should run and stop simple daemon [Conformance] [Serial]',
  async (fixture) => {
    const nodes = await start(fixture)
    const [first] = await daemons(fixture)
    const { api, ns, until } = fixture
    await until('the status says so', async () => {
      const { status } = await api.get(`${at(fixture)}/daemon-set`)
      return status.desiredNumberScheduled === nodes.length && status.numberReady === nodes.length
    })
    // A daemon that is stopped comes again.
    await api.delete(ns(`pods/${first?.['metadata'].name}`), { gracePeriodSeconds: 0 })
    const again = await runsOn(fixture, nodes)
    assert.equal(names({ items: again }).includes(String(first?.['metadata'].name)), false)
  },
)

mirror(
  '[sig-apps] Daemon set should run and stop complex daemon [Conformance] [Serial]',
  async (fixture) => {
    const { api, cleanUp } = fixture
    const [node] = await usableNodes(fixture)
    const path = `/api/v1/nodes/${node}`
    const colour = (value: string | null): Promise<Json> =>
      api.patch(path, { metadata: { labels: { 'mirror.example.com/color': value } } }, 'merge')
    cleanUp(() => colour(null))
    await api.post(
      at(fixture),
      daemonSet('daemon-set', {
        labels: LABELS,
        podSpec: { nodeSelector: { 'mirror.example.com/color': 'blue' } },
      }),
    )
    await runsOn(fixture, [])
    await colour('blue')
    await runsOn(fixture, [String(node)])
    await colour('green')
    await runsOn(fixture, [])
    await change(api, `${at(fixture)}/daemon-set`, (object) => {
      object['spec'].template.spec.nodeSelector = { 'mirror.example.com/color': 'green' }
      object['spec'].updateStrategy = { type: 'RollingUpdate' }
    })
    await runsOn(fixture, [String(node)])
  },
)

mirror(
  '[sig-apps] Daemon set should retry creating failed daemon pods [Conformance] [Serial]',
  async (fixture) => {
    const { api, ns, until } = fixture
    const nodes = await start(fixture)
    const [first] = await daemons(fixture)
    const path = ns(`pods/${first?.['metadata'].name}`)
    await change(
      api,
      path,
      (object) => {
        object['status'].phase = 'Failed'
      },
      `${path}/status`,
    )
    await until('the failed one goes', async () => {
      const answer = await api.call('GET', path)
      return answer.status === 404 || answer.json['metadata'].uid !== first?.['metadata'].uid
    })
    await runsOn(fixture, nodes)
  },
)

/** With the keys in the order in which clients write them. */
const sorted = (value: unknown): unknown =>
  Array.isArray(value)
    ? value.map(sorted)
    : typeof value === 'object' && value !== null
      ? Object.fromEntries(
          Object.entries(value)
            .toSorted(([a], [b]) => (a < b ? -1 : 1))
            .map(([key, each]) => [key, sorted(each)]),
        )
      : value

const revisions = async (fixture: Fixture): Promise<Json[]> =>
  (await fixture.api.get(at(fixture, 'controllerrevisions'), { labelSelector: SELECTOR }))[
    'items'
  ].toSorted((a: Json, b: Json) => a['revision'] - b['revision'])

mirror(
  '[sig-apps] Daemon set should update pod when spec was updated and update strategy is RollingUpdate [Conformance] [Serial]',
  async (fixture) => {
    const { api, until } = fixture
    const nodes = await start(fixture, {
      spec: { updateStrategy: { type: 'RollingUpdate' } },
    })
    const [first] = await revisions(fixture)
    assert.equal(first?.['revision'], 1)
    const hash = first?.['metadata'].labels['controller-revision-hash']
    for (const each of await daemons(fixture))
      assert.equal(each['metadata'].labels['controller-revision-hash'], hash)
    await api.patch(
      `${at(fixture)}/daemon-set`,
      { spec: { template: { spec: { containers: [{ name: 'c', image: AGNHOST }] } } } },
      'strategic-merge',
    )
    await until(
      'all are of the new image',
      async () => {
        const found = await daemons(fixture)
        return (
          found.length === nodes.length &&
          found.every((each) => each['spec'].containers[0].image === AGNHOST && isReady(each))
        )
      },
      300_000,
    )
    const after = await revisions(fixture)
    assert.deepEqual(
      after.map((each) => each['revision']),
      [1, 2],
    )
    const newHash = after[1]?.['metadata'].labels['controller-revision-hash']
    for (const each of await daemons(fixture))
      assert.equal(each['metadata'].labels['controller-revision-hash'], newHash)
  },
)

mirror(
  '[sig-apps] Daemon set should rollback without unnecessary restarts [Conformance] [Serial]',
  async (fixture) => {
    const { api, until } = fixture
    const nodes = await start(fixture, { spec: { updateStrategy: { type: 'RollingUpdate' } } })
    assert.ok(nodes.length > 1, 'Conformance test suite needs a cluster with at least 2 nodes.')
    const image = async (name: string): Promise<void> => {
      await change(api, `${at(fixture)}/daemon-set`, (object) => {
        object['spec'].template.spec.containers[0].image = name
      })
    }
    const before = await daemons(fixture)
    await image('foo:non-existent')
    await until('one daemon is replaced', async () =>
      (await daemons(fixture)).some((each) => each['spec'].containers[0].image !== AGNHOST_BEFORE),
    )
    const now = await daemons(fixture)
    const untouched = new Set(
      now
        .filter((each) => each['spec'].containers[0].image === AGNHOST_BEFORE)
        .map((each) => each['metadata'].uid as string),
    )
    assert.ok(untouched.size > 0 && untouched.size < before.length + 1)
    await image(AGNHOST_BEFORE)
    const after = await runsOn(fixture, nodes)
    const uids = new Set(after.map((each) => each['metadata'].uid as string))
    for (const uid of untouched) assert.ok(uids.has(uid), 'a daemon that was well was restarted')
  },
)

mirror(
  '[sig-apps] Daemon set should list and delete a collection of DaemonSets [Conformance] [Serial]',
  async (fixture) => {
    const { api, until } = fixture
    await start(fixture)
    const { items } = await api.get('/apis/apps/v1/daemonsets', { labelSelector: SELECTOR })
    assert.equal(
      items.filter((each: Json) => each['metadata'].namespace === fixture.namespace).length,
      1,
    )
    await api.delete(at(fixture), undefined, { labelSelector: SELECTOR })
    await until('it is gone', () => gone(api, `${at(fixture)}/daemon-set`))
  },
)

mirror(
  '[sig-apps] Daemon set should verify changes to a daemon set status [Conformance] [Serial]',
  async (fixture) => {
    const { api } = fixture
    await start(fixture)
    const path = `${at(fixture)}/daemon-set`
    const read = await api.get(`${path}/status`)
    assert.equal(read['metadata'].name, 'daemon-set')
    const watching = await api.watch(at(fixture), { labelSelector: SELECTOR })
    const updated = await change(
      api,
      path,
      (object) => {
        object['status'].conditions = [
          { type: 'StatusUpdate', status: 'True', reason: 'E2E', message: 'Set from e2e test' },
        ]
      },
      `${path}/status`,
    )
    assert.equal(conditionOf(updated, 'StatusUpdate')?.['reason'], 'E2E')
    await frame(
      watching,
      'MODIFIED',
      'daemon-set',
      (o) => conditionOf(o, 'StatusUpdate')?.['reason'] === 'E2E',
    )
    await api.patch(
      `${path}/status`,
      { status: { conditions: [{ type: 'StatusPatched', status: 'True' }] } },
      'merge',
    )
    await frame(
      watching,
      'MODIFIED',
      'daemon-set',
      (o) => conditionOf(o, 'StatusPatched')?.['status'] === 'True',
    )
    watching.stop()
  },
)

mirror(
  '[sig-apps] ControllerRevision should manage the lifecycle of a ControllerRevision [Conformance] [Serial]',
  async (fixture) => {
    const { api, until } = fixture
    await start(fixture)
    const path = at(fixture, 'controllerrevisions')
    const everywhere = (
      await api.get('/apis/apps/v1/controllerrevisions', { labelSelector: SELECTOR })
    )['items'].filter((each: Json) => each['metadata'].namespace === fixture.namespace)
    assert.equal(everywhere.length, 1)
    const [first] = await revisions(fixture)
    const name = String(first?.['metadata'].name)
    const { metadata, spec } = await api.get(`${at(fixture)}/daemon-set`)
    assert.deepEqual(
      first?.['metadata'].ownerReferences.map((each: Json) => [each['kind'], each['uid']]),
      [['DaemonSet', metadata.uid]],
    )
    // Clients compare the bytes of what they make of the template.
    assert.equal(
      JSON.stringify(first?.['data']),
      JSON.stringify(sorted({ spec: { template: { ...spec.template, $patch: 'replace' } } })),
    )
    const patched = await api.patch(
      `${path}/${name}`,
      { metadata: { labels: { [name]: 'patched' } } },
      'strategic-merge',
    )
    assert.equal(patched['metadata'].labels[name], 'patched')
    const copy = await api.post(path, {
      metadata: {
        name: 'daemon-set-76b7f8d9c4',
        namespace: fixture.namespace,
        creationTimestamp: null,
        labels: { ...LABELS, 'controller-revision-hash': '76b7f8d9c4' },
        ownerReferences: first?.['metadata'].ownerReferences,
      },
      data: first?.['data'],
      revision: first?.['revision'] + 1,
    })
    assert.equal(copy['revision'], 2)
    const number = (wanted: number): Promise<unknown> =>
      until(`there are ${wanted}`, async () => (await revisions(fixture)).length === wanted, 60_000)
    await number(2)
    // Nobody else has deleted it, although the other says the same.
    await api.delete(`${path}/${name}`)
    await number(1)
    const [current] = await revisions(fixture)
    const currentName = String(current?.['metadata'].name)
    const updated = await change(api, `${path}/${currentName}`, (object) => {
      object['metadata'].labels[currentName] = 'updated'
    })
    assert.equal(updated['metadata'].labels[currentName], 'updated')
    // A change of the template gives one more; the field at the wrong place is left out.
    await api.patch(
      `${at(fixture)}/daemon-set`,
      {
        spec: { template: { spec: { terminationGracePeriodSeconds: 1 } } },
        updateStrategy: { type: 'RollingUpdate' },
      },
      'strategic-merge',
    )
    await number(2)
    await api.delete(path, undefined, { labelSelector: `${currentName}=updated` })
    await number(1)
    assert.equal((await revisions(fixture))[0]?.['revision'], 3)
  },
)
