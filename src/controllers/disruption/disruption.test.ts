import assert from 'node:assert/strict'
import { test } from 'node:test'
import { events, podDisruptionBudgets, pods, replicaSets, type PodDisruptionBudget } from '#api'
import { notFound } from '#machinery'
import { replicaSetController } from '../replicaset/index.ts'
import { world, type World } from '../testing/world.ts'
import { disruptionController } from './index.ts'
import { scaleOfOwner } from './scales.ts'

const key = { namespace: 'shop', name: 'web' }
async function running(spec: Partial<PodDisruptionBudget['spec']>, replicas = 4): Promise<World> {
  const w = await world([replicaSetController, disruptionController])
  await w.client.create(podDisruptionBudgets, {
    metadata: key,
    spec: { selector: { matchLabels: { app: 'web' } }, ...spec },
  })
  await w.client.create(replicaSets, {
    metadata: key,
    spec: {
      replicas,
      selector: { matchLabels: { app: 'web' } },
      template: {
        metadata: { labels: { app: 'web' } },
        spec: { containers: [{ name: 'main', image: 'web:1' }] },
      },
    },
  })
  await w.rest()
  return w
}
const numbers = ({ store }: World): readonly (number | undefined)[] => {
  const { status } = store.get(podDisruptionBudgets, key) ?? {}
  return [
    status?.expectedPods,
    status?.currentHealthy,
    status?.desiredHealthy,
    status?.disruptionsAllowed,
  ]
}
const reason = ({ store }: World) =>
  store.get(podDisruptionBudgets, key)?.status?.conditions?.[0]?.reason

for (const [spec, expected] of [
  [{ minAvailable: 3 }, [4, 4, 3, 1]],
  [{ minAvailable: '50%' }, [4, 4, 2, 2]],
  [{ maxUnavailable: 1 }, [4, 4, 3, 1]],
  [{ maxUnavailable: '30%' }, [4, 4, 2, 2]],
  [{ maxUnavailable: 0 }, [4, 4, 4, 0]],
] as const)
  test(`a budget of ${JSON.stringify(spec)} counts`, async () => {
    const w = await running(spec)
    assert.deepEqual(numbers(w), expected)
    assert.equal(reason(w), expected[3] > 0 ? 'SufficientPods' : 'InsufficientPods')
    w.stop()
  })

test('a pod with two budgets is told of, by the first of them', async () => {
  const w = await running({ minAvailable: 1 }, 1)
  await w.client.create(podDisruptionBudgets, {
    metadata: { namespace: 'shop', name: 'also' },
    spec: { selector: { matchLabels: { app: 'web' } }, maxUnavailable: 1 },
  })
  await w.rest()
  const [told] = w.store
    .list(events)
    .filter((each) => each.reason === 'MultiplePodDisruptionBudgets')
  const name = w.store.list(pods)[0]?.metadata.name
  assert.equal(
    told?.message,
    `Pod "shop"/"${name}" matches multiple PodDisruptionBudgets.  Chose "also" arbitrarily.`,
  )
  w.stop()
})

test('a budget that finds no pods says so', async () => {
  const w = await running({ minAvailable: 1 }, 0)
  const told = w.store.list(events).filter((each) => each.involvedObject.name === 'web')
  assert.deepEqual(
    told.map(({ type, reason: why, message }) => [type, why, message]),
    [['Normal', 'NoPods', 'No matching pods found']],
  )
  w.stop()
})

test('a granted eviction counts until its pod goes, or the grant is two minutes old', async () => {
  const w = await running({ minAvailable: 2 })
  const [pod] = w.store.list(pods)
  const budget = w.store.get(podDisruptionBudgets, key)!
  await w.client.updateStatus(podDisruptionBudgets, {
    ...budget,
    status: {
      ...budget.status,
      disruptedPods: { [pod!.metadata.name]: w.env.clock.now().toISOString().slice(0, 19) + 'Z' },
    },
  })
  await w.env.advance(1000)
  assert.deepEqual(numbers(w), [4, 3, 2, 1])
  await w.env.advance(121_000)
  assert.deepEqual(numbers(w), [4, 4, 2, 2])
  assert.equal(w.store.get(podDisruptionBudgets, key)?.status?.disruptedPods, undefined)
  w.stop()
})

test('a share of pods whose controllers are unknown cannot be told', async () => {
  const w = await world([disruptionController])
  await w.client.create(podDisruptionBudgets, {
    metadata: key,
    spec: { selector: { matchLabels: { app: 'web' } }, maxUnavailable: 1 },
  })
  await w.client.create(pods, {
    metadata: {
      namespace: 'shop',
      name: 'a',
      labels: { app: 'web' },
      ownerReferences: [
        { apiVersion: 'x.dev/v1', kind: 'Toy', name: 't', uid: 'u', controller: true },
      ],
    },
    spec: { containers: [{ name: 'main', image: 'web:1' }] },
  })
  await w.rest()
  assert.equal(reason(w), 'SyncFailed')
  assert.equal(numbers(w)[3], 0)
  w.stop()
})

test('a pod that nobody manages is told of, and those of others are counted all the same', async () => {
  const w = await running({ maxUnavailable: 1 }, 2)
  await w.client.create(pods, {
    metadata: { namespace: 'shop', name: 'alone', labels: { app: 'web' } },
    spec: { containers: [{ name: 'main', image: 'web:1' }] },
  })
  await w.rest()
  assert.equal(numbers(w)[0], 2)
  const told = w.store.list(events).find((each) => each.reason === 'UnmanagedPods')
  assert.match(
    told?.message ?? '',
    /^Pods selected by this PodDisruptionBudget \(selector: &LabelSelector\{MatchLabels:map\[string\]string\{app: web,\},MatchExpressions:\[\]LabelSelectorRequirement\{\},\}\) were found to be unmanaged\./,
  )
  w.stop()
})

const toy = { apiVersion: 'x.dev/v1', kind: 'Toy', name: 't', uid: 'u' }
const answering = (answers: Readonly<Record<string, unknown>>) => ({
  request: async ({ path }: { readonly path: string }): Promise<unknown> => {
    if (answers[path] === undefined) throw notFound({ group: '', resource: 'x' }, path)
    return answers[path]
  },
})
const withScale = { resources: [toys(''), toys('/scale')] }
function toys(sub: string) {
  return { name: `toys${sub}`, kind: sub === '' ? 'Toy' : 'Scale' }
}
const scaleAt = '/apis/x.dev/v1/namespaces/shop/toys/t/scale'

test('an owner of a kind of its own tells of its size by its scale', async () => {
  const scale = { metadata: { uid: 'u' }, spec: { replicas: 3 } }
  const answers = { '/apis/x.dev/v1': withScale, [scaleAt]: scale }
  assert.deepEqual(await scaleOfOwner(answering(answers), toy, 'shop'), { replicas: 3 })
  const another = { ...answers, [scaleAt]: { ...scale, metadata: { uid: 'v' } } }
  assert.equal(await scaleOfOwner(answering(another), toy, 'shop'), undefined)
  assert.equal(
    await scaleOfOwner(answering({ '/apis/x.dev/v1': withScale }), toy, 'shop'),
    undefined,
  )
})

test('an owner that has no scale, or a kind that there is not, cannot tell', async () => {
  assert.deepEqual(await scaleOfOwner(answering({}), toy, 'shop'), {
    problem: 'no matches for kind "Toy" in version "x.dev/v1"',
  })
  const plain = { '/apis/x.dev/v1': { resources: [toys('')] } }
  assert.deepEqual(await scaleOfOwner(answering(plain), toy, 'shop'), {
    problem: 'toys.x.dev does not implement the scale subresource',
  })
})
