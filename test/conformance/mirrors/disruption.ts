import assert from 'node:assert/strict'
import type { Json } from '../api.ts'
import { mirror, type Fixture } from '../mirror.ts'
import { change, names, pod, readyPods, runningPod } from '../support.ts'

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
    await api.post(path, budget('foo', 1, { foo: 'bar' }))
    const first = await processed(fixture, `${path}/foo`)
    assert.equal(first['spec'].minAvailable, 1)
    await change(api, `${path}/foo`, (object) => {
      object['spec'].minAvailable = 2
    })
    assert.equal((await processed(fixture, `${path}/foo`))['spec'].minAvailable, 2)
    await api.patch(`${path}/foo`, { spec: { minAvailable: '3%' } }, 'strategic-merge')
    const third = await processed(fixture, `${path}/foo`)
    assert.equal(third['spec'].minAvailable, '3%')
    assert.deepEqual(third['spec'].selector.matchLabels, LABELS)
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
    for (const name of ['foo1', 'foo2', 'foo3'])
      await api.post(path, budget(name, 1, { special_label: mark }))
    await api.post(otherPath, budget('foo4', '1%', { special_label: mark }))
    const selector = { labelSelector: `special_label=${mark}` }
    assert.deepEqual(
      names(await api.get('/apis/policy/v1/poddisruptionbudgets', selector)).toSorted(),
      ['foo1', 'foo2', 'foo3', 'foo4'],
    )
    assert.equal((await api.get(path, selector))['items'].length, 3)
    await api.delete(path, undefined, selector)
    assert.equal((await api.get(path, selector))['items'].length, 0)
    assert.deepEqual(names(await api.get('/apis/policy/v1/poddisruptionbudgets', selector)), [
      'foo4',
    ])
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
    const { api, until } = fixture
    const path = `${budgets(fixture)}/foo`
    await api.post(budgets(fixture), budget('foo', 1))
    await makePods(fixture, 1)
    await until('the status is calculated', async () => {
      const { status } = await api.get(path)
      return status?.expectedPods === 1
    })
    const updated = await change(
      api,
      path,
      (object) => {
        object['status'].disruptedPods = { 'pod-0': '2026-01-01T00:00:00Z' }
      },
      `${path}/status`,
    )
    assert.deepEqual(Object.keys(updated['status'].disruptedPods), ['pod-0'])
    const patched = await api.patch(
      `${path}/status`,
      { status: { disruptedPods: { 'pod-0': null, 'pod-1': '2026-01-01T00:00:00Z' } } },
      'merge',
    )
    assert.equal(patched['status'].disruptedPods['pod-0'], undefined)
  },
)

mirror(
  '[sig-apps] DisruptionController should block an eviction until the PDB is updated to allow it [Conformance]',
  async (fixture) => {
    const { api, ns, until } = fixture
    const path = `${budgets(fixture)}/foo`
    await makePods(fixture, 3)
    const [found] = await readyPods(fixture, 'foo=bar', 3)
    const name = String(found?.['metadata'].name)
    const evict = (): Promise<{ status: number; json: Json }> =>
      api.call('POST', ns(`pods/${name}/eviction`), {
        body: { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name } },
      })
    await api.post(budgets(fixture), budget('foo', 3))
    await until('three are healthy', async () => {
      const { status } = await api.get(path)
      return status?.currentHealthy === 3 && status.disruptionsAllowed === 0
    })
    const denied = await evict()
    assert.equal(denied.status, 429)
    assert.equal(denied.json['reason'], 'TooManyRequests')
    assert.ok(denied.json['details'].causes.some((c: Json) => c['reason'] === 'DisruptionBudget'))
    await runningPod(fixture, name)

    await change(api, path, (object) => {
      object['spec'].minAvailable = 2
    })
    await until('one may go', async () => (await api.get(path))['status'].disruptionsAllowed === 1)
    assert.equal((await evict()).status, 201)
    await until('it goes', async () => {
      const answer = await api.call('GET', ns(`pods/${name}`))
      return answer.status === 404 || answer.json['metadata'].deletionTimestamp !== undefined
    })

    // Again, with a budget that is patched; and once more without any.
    await api.post(ns('pods'), pod('pod-more', { metadata: { labels: LABELS } }))
    await readyPods(fixture, 'foo=bar', 3)
    await api.patch(path, { spec: { minAvailable: 3 } }, 'strategic-merge')
    await until('none may go', async () => {
      const { metadata, status } = await api.get(path)
      return (
        status.observedGeneration === metadata.generation &&
        status.currentHealthy === 3 &&
        status.disruptionsAllowed === 0
      )
    })
    const again = await api.call('POST', ns('pods/pod-more/eviction'), {
      body: { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name: 'pod-more' } },
    })
    assert.equal(again.status, 429)
    await api.delete(path)
    const free = await api.call('POST', ns('pods/pod-more/eviction'), {
      body: { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name: 'pod-more' } },
    })
    assert.equal(free.status, 201)
  },
)
