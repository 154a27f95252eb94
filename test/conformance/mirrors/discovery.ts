import assert from 'node:assert/strict'
import type { Api, Json } from '../api.ts'
import { configMap, mirror, type Fixture } from '../mirror.ts'
import { templates } from '../support.ts'

const AGGREGATED = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList'

/** What every cluster has: group version, resource. */
const BUILT_IN: readonly (readonly [string, string])[] = [
  ['admissionregistration.k8s.io/v1', 'mutatingwebhookconfigurations'],
  ['admissionregistration.k8s.io/v1', 'validatingwebhookconfigurations'],
  ['apiextensions.k8s.io/v1', 'customresourcedefinitions'],
  ['apiregistration.k8s.io/v1', 'apiservices'],
  ['apps/v1', 'deployments'],
  ['apps/v1', 'daemonsets'],
  ['apps/v1', 'replicasets'],
  ['apps/v1', 'statefulsets'],
  ['authentication.k8s.io/v1', 'tokenreviews'],
  ['authorization.k8s.io/v1', 'localsubjectaccessreviews'],
  ['autoscaling/v1', 'horizontalpodautoscalers'],
  ['autoscaling/v2', 'horizontalpodautoscalers'],
  ['batch/v1', 'jobs'],
  ['batch/v1', 'cronjobs'],
  ['certificates.k8s.io/v1', 'certificatesigningrequests'],
  ['coordination.k8s.io/v1', 'leases'],
  ['discovery.k8s.io/v1', 'endpointslices'],
  ['events.k8s.io/v1', 'events'],
  ['networking.k8s.io/v1', 'ingresses'],
  ['networking.k8s.io/v1', 'networkpolicies'],
  ['node.k8s.io/v1', 'runtimeclasses'],
  ['policy/v1', 'poddisruptionbudgets'],
  ['rbac.authorization.k8s.io/v1', 'clusterroles'],
  ['scheduling.k8s.io/v1', 'priorityclasses'],
  ['storage.k8s.io/v1', 'csidrivers'],
  ['storage.k8s.io/v1', 'storageclasses'],
  ['v1', 'bindings'],
  ['v1', 'configmaps'],
  ['v1', 'namespaces'],
  ['v1', 'pods'],
]

/** The aggregated document of an endpoint, as pairs of group version and resource. */
async function aggregated(api: Api, path: '/api' | '/apis'): Promise<(readonly [string, Json])[]> {
  const answer = await api.call('GET', path, { headers: { accept: AGGREGATED } })
  assert.equal(answer.status, 200)
  assert.equal(answer.json['kind'], 'APIGroupDiscoveryList')
  assert.equal(answer.json['apiVersion'], 'apidiscovery.k8s.io/v2')
  const type = String(answer.headers['content-type'])
  for (const parameter of ['g=apidiscovery.k8s.io', 'v=v2', 'as=APIGroupDiscoveryList'])
    assert.ok(type.includes(parameter), `${parameter} in ${type}`)
  return answer.json['items'].flatMap((group: Json) =>
    group['versions'].flatMap((version: Json) =>
      version['resources'].map((resource: Json) => [
        [group['metadata'].name, version['version']].filter(Boolean).join('/'),
        resource,
      ]),
    ),
  )
}

const has = (found: (readonly [string, Json])[], groupVersion: string, resource: string): boolean =>
  found.some(([version, each]) => version === groupVersion && each['resource'] === resource)

mirror(
  '[sig-api-machinery] AggregatedDiscovery should support raw aggregated discovery endpoint Accept headers [Conformance]',
  async ({ api }) => {
    const found = [...(await aggregated(api, '/api')), ...(await aggregated(api, '/apis'))]
    for (const [groupVersion, resource] of BUILT_IN)
      assert.ok(has(found, groupVersion, resource), `${groupVersion} ${resource}`)
    const core = await api.call('GET', '/api', { headers: { accept: AGGREGATED } })
    assert.deepEqual(
      core.json['items'].map((group: Json) => group['metadata'].name ?? ''),
      [''],
    )
  },
)

mirror(
  '[sig-api-machinery] AggregatedDiscovery should support aggregated discovery interface [Conformance]',
  async ({ api }) => {
    // What a client asks: the aggregated form first, and the old one when the server has no other.
    const accept = `${AGGREGATED},${AGGREGATED.replace('v=v2', 'v=v2beta1')},application/json`
    for (const path of ['/api', '/apis'] as const) {
      const answer = await api.call('GET', path, { headers: { accept } })
      assert.equal(answer.json['kind'], 'APIGroupDiscoveryList')
      for (const group of answer.json['items']) {
        const { name = '' } = group.metadata
        // Groups of other tests come and go.
        if (name.endsWith('.example.com')) continue
        assert.ok(group.versions.length > 0)
        for (const version of group.versions) {
          assert.equal(version.freshness, 'Current', `${name} ${version.version}`)
          for (const resource of version.resources) {
            assert.ok(resource.responseKind.kind, resource.resource)
            assert.match(resource.scope, /^(Cluster|Namespaced)$/)
            assert.ok(resource.verbs.length > 0, resource.resource)
          }
        }
      }
    }
    const found = [...(await aggregated(api, '/api')), ...(await aggregated(api, '/apis'))]
    const old = new Map<string, Set<string>>()
    for (const [groupVersion, resource] of BUILT_IN) {
      assert.ok(has(found, groupVersion, resource), `${groupVersion} ${resource}`)
      const base = groupVersion === 'v1' ? '/api/v1' : `/apis/${groupVersion}`
      if (!old.has(groupVersion)) {
        const document = await api.get(base)
        old.set(groupVersion, new Set(document['resources'].map((r: Json) => r['name'])))
      }
      assert.ok(old.get(groupVersion)?.has(resource))
    }
  },
)

async function withDefinition(
  { api, unique, cleanUp, until }: Fixture,
  look: (groupVersion: string, plural: string) => Promise<boolean>,
): Promise<void> {
  const group = `${unique('discovery')}.example.com`
  const plural = 'testcrds'
  await api.post('/apis/apiextensions.k8s.io/v1/customresourcedefinitions', {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group}` },
    spec: {
      group,
      scope: 'Namespaced',
      names: { plural, singular: 'testcrd', kind: 'TestCrd', listKind: 'TestCrdList' },
      versions: [
        {
          name: 'v1',
          served: true,
          storage: true,
          schema: {
            openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
          },
        },
      ],
    },
  })
  cleanUp(() =>
    api.delete(`/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${plural}.${group}`),
  )
  await until('the custom resource is discovered', () => look(`${group}/v1`, plural), 30_000)
}

mirror(
  '[sig-api-machinery] AggregatedDiscovery should support raw aggregated discovery request for CRDs [Conformance]',
  (fixture) =>
    withDefinition(fixture, async (groupVersion, plural) =>
      has(await aggregated(fixture.api, '/apis'), groupVersion, plural),
    ),
)

mirror(
  '[sig-api-machinery] AggregatedDiscovery should support aggregated discovery interface for CRDs [Conformance]',
  (fixture) =>
    withDefinition(fixture, async (groupVersion, plural) => {
      const found = (await aggregated(fixture.api, '/apis')).find(
        ([version, each]) => version === groupVersion && each['resource'] === plural,
      )
      if (found === undefined) return false
      assert.equal(found[1]['responseKind'].kind, 'TestCrd')
      assert.equal(found[1]['scope'], 'Namespaced')
      return true
    }),
)

mirror(
  '[sig-api-machinery] Servers with support for API chunking should support continue listing from the last key if the original version has been compacted away, though the list is inconsistent [Conformance] [Slow]',
  async ({ api, ns, until, profile }) => {
    const path = ns('podtemplates')
    const total = 400
    const names = await templates(api, path, total)
    const limit = total / 10
    const first = await api.get(path, { limit })
    assert.equal(first['items'].length, limit)
    assert.equal(first['metadata'].remainingItemCount, total - limit)
    let token = String(first['metadata'].continue)
    if (profile === 'fast') {
      token = older(token)
      // Somebody writes meanwhile: nodes do, in as much time as a token lasts.
      await api.post(ns('configmaps'), configMap('meanwhile'))
    }
    const expired = await until(
      'the token is too old',
      async () => {
        const answer = await api.call('GET', path, { query: { limit, continue: token } })
        if (answer.status === 200) token = profile === 'fast' ? older(token) : token
        return answer.status !== 200 && answer
      },
      600_000,
    )
    assert.equal(expired.status, 410)
    assert.equal(expired.json['reason'], 'Expired')
    const onwards = expired.json['metadata'].continue
    assert.ok(onwards)
    const second = await api.get(path, { limit, continue: onwards })
    assert.equal(second['items'].length, limit)
    assert.equal(second['metadata'].remainingItemCount, total - 2 * limit)
    assert.notEqual(second['metadata'].resourceVersion, first['metadata'].resourceVersion)
    const seen: string[] = [...first['items'], ...second['items']].map(
      (i: Json) => i['metadata'].name,
    )
    let page = second
    while (page['metadata'].continue) {
      page = await api.get(path, { limit, continue: page['metadata'].continue })
      assert.equal(page['metadata'].resourceVersion, second['metadata'].resourceVersion)
      seen.push(...page['items'].map((item: Json) => item['metadata'].name))
      const left = total - seen.length
      assert.equal(page['metadata'].remainingItemCount, left === 0 ? undefined : left)
    }
    assert.deepEqual(seen, names)
  },
)

/** The fast profile does not wait for a token to grow old, where it can be told how old it is; elsewhere it waits like the other. */
function older(token: string): string {
  try {
    const content = JSON.parse(Buffer.from(token, 'base64url').toString()) as Json
    if (typeof content['began'] !== 'number') return token
    return Buffer.from(JSON.stringify({ ...content, began: 0 })).toString('base64url')
  } catch {
    return token
  }
}
