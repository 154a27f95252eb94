import assert from 'node:assert/strict'
import type { Json } from '../api.ts'
import { mirror, type Fixture } from '../mirror.ts'
import { change, names, pod, readyPods, replicaSet } from '../support.ts'

const LABELS = { foo: 'bar' }
const budgets = ({ namespace }: Fixture): string =>
  `/apis/policy/v1/namespaces/${namespace}/poddisruptionbudgets`

const budget = (name: string, minAvailable: number | string, labels: Json = {}): Json => ({
  apiVersion: 'policy/v1',
  kind: 'PodDisruptionBudget',
  metadata: { name, labels },
  spec: { selector: { matchLabels: LABELS }, minAvailable },
})

/** The controller has seen this generation. */
const processed = ({ api, until }: Fixture, path: string): Promise<Json> =>
  until('the budget is processed', async () => {
    const found = await api.get(path)
    return found['status']?.observedGeneration >= found['metadata'].generation && found
  })

const makePods = async ({ api, ns }: Fixture, count: number): Promise<void> => {
  for (let i = 0; i < count; i++)
    await api.post(ns('pods'), pod(`pod-${i}`, { metadata: { labels: LABELS } }))
}

mirror(
  '[sig-apps] DisruptionController should create a PodDisruptionBudget [Conformance]',
  async (fixture) => {
    const { api } = fixture
    const path = budgets(fixture)
    await api.post(path, budget('foo', '1%', LABELS))
    assert.equal((await processed(fixture, `${path}/foo`))['spec'].minAvailable, '1%')
    const updated = await change(api, `${path}/foo`, (object) => {
      object['spec'].minAvailable = '2%'
    })
    assert.equal(updated['spec'].minAvailable, '2%')
    await processed(fixture, `${path}/foo`)
    const patched = await api.patch(`${path}/foo`, { spec: { minAvailable: '3%' } }, 'merge')
    assert.equal(patched['spec'].minAvailable, '3%')
    assert.deepEqual(patched['spec'].selector.matchLabels, LABELS)
    await processed(fixture, `${path}/foo`)
    await api.patch(`${path}/foo`, { spec: { minAvailable: 3 } }, 'strategic-merge')
    assert.equal((await processed(fixture, `${path}/foo`))['spec'].minAvailable, 3)
    await api.delete(`${path}/foo`)
  },
)

mirror(
  '[sig-apps] DisruptionController Listing PodDisruptionBudgets for all namespaces should list and delete a collection of PodDisruptionBudgets [Conformance]',
  async (fixture) => {
    const { api, unique, cleanUp } = fixture
    const path = budgets(fixture)
    const mark = unique('special')
    const other = String(
      (
        await api.post('/api/v1/namespaces', {
          apiVersion: 'v1',
          kind: 'Namespace',
          metadata: { generateName: 'mirror-' },
        })
      )['metadata'].name,
    )
    cleanUp(() => api.delete(`/api/v1/namespaces/${other}`))
    const otherPath = `/apis/policy/v1/namespaces/${other}/poddisruptionbudgets`
    for (const [each, amount] of [
      [`${path}/foo1`, 2],
      [`${path}/foo2`, '1%'],
      [`${otherPath}/foo3`, 2],
    ] as const) {
      const collection = each.slice(0, each.lastIndexOf('/'))
      await api.post(collection, budget(each.slice(-4), amount, { special_label: mark }))
      await processed(fixture, each)
    }
    const selector = { labelSelector: `special_label=${mark}` }
    assert.deepEqual(
      names(await api.get('/apis/policy/v1/poddisruptionbudgets', selector)).toSorted(),
      ['foo1', 'foo2', 'foo3'],
    )
    assert.deepEqual(names(await api.get(path, selector)).toSorted(), ['foo1', 'foo2'])
    // Without a selector: everything of this namespace, and nothing of another.
    await api.delete(path)
    assert.equal((await api.get(path))['items'].length, 0)
    assert.deepEqual(names(await api.get(otherPath)), ['foo3'])
  },
)

mirror(
  '[sig-apps] DisruptionController should observe PodDisruptionBudget status updated [Conformance]',
  async (fixture) => {
    const { api, until } = fixture
    const path = `${budgets(fixture)}/foo`
    await api.post(budgets(fixture), budget('foo', 1))
    await makePods(fixture, 3)
    await readyPods(fixture, 'foo=bar', 3)
    const found = await until('disruptions are allowed', async () => {
      const each = await api.get(path)
      return each['status']?.disruptionsAllowed === 2 && each
    })
    const { currentHealthy, desiredHealthy, expectedPods } = found['status']
    assert.deepEqual([currentHealthy, desiredHealthy, expectedPods], [3, 1, 3])
    assert.equal(
      found['status'].conditions.find((c: Json) => c['type'] === 'DisruptionAllowed').status,
      'True',
    )
  },
)

mirror(
  '[sig-apps] DisruptionController should update/patch PodDisruptionBudget status [Conformance]',
  async (fixture) => {
    const { api } = fixture
    const path = `${budgets(fixture)}/foo`
    await api.post(budgets(fixture), budget('foo', 1))
    await processed(fixture, path)
    await makePods(fixture, 1)
    await readyPods(fixture, 'foo=bar', 1)
    await change(
      api,
      path,
      (object) => {
        object['status'].disruptedPods = { 'pod-0': new Date().toISOString().replace(/\.\d+/, '') }
      },
      `${path}/status`,
    )
    // The pod is there and was asked to go a moment ago: the controller leaves that in its place.
    await processed(fixture, path)
    const read = await api.get(`${path}/status`)
    assert.deepEqual(Object.keys(read['status'].disruptedPods ?? {}), ['pod-0'])
    const patched = await api.patch(`${path}/status`, { status: { disruptedPods: null } }, 'merge')
    assert.deepEqual(patched['status'].disruptedPods ?? {}, {})
    await processed(fixture, path)
  },
)

mirror(
  '[sig-apps] DisruptionController should block an eviction until the PDB is updated to allow it [Conformance]',
  async (fixture) => {
    const { api, ns, namespace, until } = fixture
    const path = `${budgets(fixture)}/foo`
    const evict = (name: string): Promise<{ status: number; json: Json }> =>
      api.call('POST', ns(`pods/${name}/eviction`), {
        body: { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name, namespace } },
      })
    const oneOfThree = async (): Promise<string> =>
      String((await readyPods(fixture, 'foo=bar', 3))[0]?.['metadata'].name)
    const refused = async (name: string): Promise<void> => {
      const answer = await evict(name)
      assert.equal(answer.status, 429)
      assert.equal(answer.json['reason'], 'TooManyRequests')
      assert.ok(answer.json['details'].causes.some((c: Json) => c['reason'] === 'DisruptionBudget'))
    }
    await api.post(budgets(fixture), budget('foo', 3))
    await processed(fixture, path)
    await api.post(
      `/apis/apps/v1/namespaces/${namespace}/replicasets`,
      replicaSet('rs', { labels: LABELS, replicas: 3 }),
    )
    // Whatever the budget says of their health yet: three of three are wanted.
    const first = await oneOfThree()
    await refused(first)

    await change(api, path, (object) => {
      object['spec'].minAvailable = 2
    })
    await processed(fixture, path)
    await readyPods(fixture, 'foo=bar', 3)
    await until('three are healthy, and two wanted', async () => {
      const { status } = await api.get(path)
      return status.currentHealthy === 3 && status.desiredHealthy === 2
    })
    assert.equal((await evict(first)).status, 201)

    await api.patch(path, { spec: { maxUnavailable: 0, minAvailable: null } }, 'merge')
    await processed(fixture, path)
    const second = await oneOfThree()
    await refused(second)

    await api.delete(path)
    assert.equal((await api.call('GET', path)).status, 404)
    await readyPods(fixture, 'foo=bar', 3)
    assert.equal((await evict(second)).status, 201)
  },
)
