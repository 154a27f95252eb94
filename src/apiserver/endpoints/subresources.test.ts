import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Deployment, Pod } from '#api'
import { StatusError, type JsonObject } from '#machinery'
import { send, testServer } from '../server.testing.ts'
import {
  DEPLOYMENTS,
  PODS,
  deployment,
  get,
  patch,
  pod,
  post,
  put,
  refused,
} from '../verbs.testing.ts'

test('a table of a scale has its own columns', async () => {
  const { api, server } = await testServer()
  await post(api, DEPLOYMENTS, deployment('web'))
  const { json } = await send(server, `GET ${DEPLOYMENTS}/web/scale`, undefined, {
    accept: 'application/json;as=Table;v=v1;g=meta.k8s.io',
  })
  const { kind, columnDefinitions, rows } = json as {
    kind: string
    columnDefinitions: readonly { name: string }[]
    rows: readonly { cells: readonly unknown[] }[]
  }
  assert.equal(kind, 'Table')
  assert.deepEqual(
    columnDefinitions.map(({ name }) => name),
    ['Name', 'Desired', 'Available', 'Age'],
  )
  assert.deepEqual(
    rows.map(({ cells }) => cells),
    [['web', 2, 0, '0s']],
  )
})

test('spec and status are written by their own endpoints only', async () => {
  const { api } = await testServer()
  await post(api, DEPLOYMENTS, deployment('web'))
  const path = `${DEPLOYMENTS}/web`
  const change = { spec: { replicas: 9 }, status: { replicas: 4 } }
  const main = await patch<Deployment>(api, path, 'merge-patch+json', change)
  assert.equal(main.spec?.replicas, 9)
  assert.equal(main.status?.replicas, undefined)
  const status = await patch<Deployment>(api, `${path}/status`, 'merge-patch+json', {
    spec: { replicas: 1 },
    status: { replicas: 4 },
  })
  assert.equal(status.spec?.replicas, 9)
  assert.equal(status.status?.replicas, 4)
})

test('a pod is bound once', async () => {
  const { api } = await testServer()
  await post(api, PODS, pod('web'))
  const bind = (node: string) =>
    post(api, `${PODS}/web/binding`, { target: { kind: 'Node', name: node } })
  await bind('n1')
  const bound = await get<Pod>(api, `${PODS}/web`)
  assert.equal(bound.spec?.nodeName, 'n1')
  assert.equal(bound.metadata.generation, 1)
  assert.equal(
    bound.status?.conditions?.find(({ type }) => type === 'PodScheduled')?.status,
    'True',
  )
  await assert.rejects(bind('n2'), refused('Conflict', /pod web is already assigned to node "n1"$/))
})

test('scale reads and writes the number of replicas', async () => {
  const { api } = await testServer()
  await post(api, DEPLOYMENTS, deployment('web'))
  const path = `${DEPLOYMENTS}/web/scale`
  const scale = await get<{ spec: { replicas: number }; status: { selector: string } }>(api, path)
  assert.equal(scale.spec.replicas, 2)
  assert.equal(scale.status.selector, 'app=web')
  await put(api, path, { metadata: { name: 'web' }, spec: { replicas: 6 } })
  await patch(api, path, 'merge-patch+json', { spec: { replicas: 7 } })
  const now = await get<Deployment>(api, `${DEPLOYMENTS}/web`)
  assert.equal(now.spec?.replicas, 7)
  assert.equal(now.metadata.generation, 3)
  await assert.rejects(
    put(api, path, { metadata: { name: 'web' }, spec: { replicas: -1 } }),
    refused('Invalid', /must be greater than or equal to 0/),
  )
})

test('an eviction asks the budget, and spends it', async () => {
  const { api } = await testServer()
  const pdbs = '/apis/policy/v1/namespaces/shop/poddisruptionbudgets'
  for (const name of ['a', 'b']) {
    await post(api, PODS, pod(name, { metadata: { labels: { app: 'web' } } }))
    await patch(api, `${PODS}/${name}/status`, 'merge-patch+json', {
      status: { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] },
    })
  }
  await post(api, pdbs, {
    metadata: { name: 'web' },
    spec: { minAvailable: 1, selector: { matchLabels: { app: 'web' } } },
  })
  await patch(api, `${pdbs}/web/status`, 'merge-patch+json', {
    status: {
      observedGeneration: 1,
      disruptionsAllowed: 1,
      currentHealthy: 2,
      desiredHealthy: 1,
      expectedPods: 2,
    },
  })
  const evict = (name: string, apiVersion = 'policy/v1', called = name) =>
    post(api, `${PODS}/${name}/eviction`, {
      apiVersion,
      kind: 'Eviction',
      metadata: { name: called },
      deleteOptions: {},
    })
  await assert.rejects(evict('a', 'policy/v2'), refused('BadRequest'))
  await assert.rejects(evict('a', 'policy/v1', ''), refused('BadRequest', /name in URL/))
  await evict('a', 'policy/v1beta1')
  await assert.rejects(get(api, `${PODS}/a`), refused('NotFound'))
  await assert.rejects(evict('b'), (error) => {
    assert.ok(error instanceof StatusError)
    assert.equal(error.code, 429)
    assert.equal(error.status.details?.causes?.[0]?.reason, 'DisruptionBudget')
    return true
  })
  await post(api, pdbs, {
    metadata: { name: 'other' },
    spec: { maxUnavailable: 1, selector: { matchLabels: { app: 'web' } } },
  })
  await assert.rejects(evict('b'), (error) => {
    assert.ok(error instanceof StatusError)
    assert.deepEqual([error.code, error.reason], [500, ''])
    assert.match(error.message, /^This pod has more than one PodDisruptionBudget/)
    return true
  })
})

test('evictions at the same time all spend from one budget', async () => {
  const { api } = await testServer()
  const names = Array.from({ length: 12 }, (_, i) => `p${i}`)
  for (const name of names) {
    await post(api, PODS, pod(name, { metadata: { labels: { app: 'web' } } }))
    await patch(api, `${PODS}/${name}/status`, 'merge-patch+json', { status: { phase: 'Running' } })
  }
  const budget = '/apis/policy/v1/namespaces/shop/poddisruptionbudgets'
  const selector = { matchLabels: { app: 'web' } }
  await post(api, budget, { metadata: { name: 'web' }, spec: { minAvailable: 0, selector } })
  const status = { observedGeneration: 1, disruptionsAllowed: 12, expectedPods: 12 }
  await patch(api, `${budget}/web/status`, 'merge-patch+json', { status })
  const evict = (name: string): Promise<unknown> =>
    post(api, `${PODS}/${name}/eviction`, { metadata: { name } })
  await Promise.all(names.map(evict))
  const left = await get<{ status: JsonObject }>(api, `${budget}/web`)
  assert.equal(left.status['disruptionsAllowed'], 0)
})

test('a resize and an ephemeral container are a new generation of the pod', async () => {
  const { api } = await testServer()
  const resources = { requests: { cpu: '10m' }, limits: { cpu: '20m' } }
  const containers = [{ name: 'main', image: 'web:1', resources }]
  await post(api, PODS, pod('web', { spec: { containers } }))
  const resized = await patch<Pod>(api, `${PODS}/web/resize`, 'strategic-merge-patch+json', {
    spec: { containers: [{ name: 'main', resources: { requests: { cpu: '15m' } } }] },
  })
  assert.equal(resized.spec.containers[0]?.resources?.requests?.['cpu'], '15m')
  assert.equal(resized.metadata.generation, 2)
  const debugged = await patch<Pod>(
    api,
    `${PODS}/web/ephemeralcontainers`,
    'strategic-merge-patch+json',
    { spec: { ephemeralContainers: [{ name: 'debug', image: 'tools:1' }] } },
  )
  assert.equal(debugged.metadata.generation, 3)
})
