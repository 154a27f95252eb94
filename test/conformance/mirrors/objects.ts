import assert from 'node:assert/strict'
import type { Json } from '../api.ts'
import { configMap, mirror } from '../mirror.ts'

mirror(
  '[sig-node] Lease lease API should be available [Conformance]',
  async ({ api, namespace }) => {
    const path = `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`
    const spec = {
      holderIdentity: 'holder',
      leaseDurationSeconds: 30,
      // Times a few seconds after the beginning of all time.
      acquireTime: '0001-01-01T00:00:02.000000Z',
      renewTime: '0001-01-01T00:00:05.000000Z',
      leaseTransitions: 0,
    }
    const created = await api.post(path, {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { name: 'lease' },
      spec,
    })
    assert.deepEqual(created['spec'], spec)
    const second = {
      ...spec,
      holderIdentity: 'other',
      leaseTransitions: 1,
      acquireTime: '0001-01-01T00:00:20.000000Z',
      renewTime: '0001-01-01T00:00:50.000000Z',
    }
    await api.put(`${path}/lease`, { ...created, spec: second })
    assert.deepEqual((await api.get(`${path}/lease`))['spec'], second)
    const third = { leaseTransitions: 2, renewTime: '0001-01-01T00:01:10.000000Z' }
    await api.patch(`${path}/lease`, { spec: third }, 'strategic-merge')
    const last = await api.get(`${path}/lease`)
    assert.deepEqual(last['spec'], { ...second, ...third })
    assert.ok(
      Number(last['metadata'].resourceVersion) > Number(created['metadata'].resourceVersion),
    )
    await api.post(path, {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { name: 'second', labels: { deletecollection: 'true' } },
      spec,
    })
    assert.equal((await api.get(path))['items'].length, 2)
    await api.delete(path, undefined, { labelSelector: 'deletecollection=true' })
    assert.equal((await api.get(path))['items'].length, 1)
    await api.delete(`${path}/lease`)
    assert.equal((await api.call('GET', `${path}/lease`)).status, 404)
    await api.get('/apis/coordination.k8s.io/v1/leases')
  },
)

mirror(
  '[sig-auth] ServiceAccounts should guarantee kube-root-ca.crt exist in any namespace [Conformance]',
  async ({ api, ns, until }) => {
    const path = ns('configmaps/kube-root-ca.crt')
    const original = await api.get(path)
    assert.match(original['data']['ca.crt'], /BEGIN CERTIFICATE/)
    await api.delete(path)
    await until('it comes back', async () => (await api.call('GET', path)).status === 200, 30_000)
    // Replaced without a version, whatever it is now.
    await api.put(path, configMap('kube-root-ca.crt', { data: { 'ca.crt': '' } }))
    await until(
      'it is reset',
      async () => (await api.get(path))['data']['ca.crt'] === original['data']['ca.crt'],
      30_000,
    )
  },
)

mirror(
  '[sig-auth] ServiceAccounts should run through the lifecycle of a ServiceAccount [Conformance]',
  async ({ api, ns, namespace }) => {
    const path = ns('serviceaccounts')
    await api.post(path, {
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { name: 'testserviceaccount', labels: { 'test-serviceaccount-static': 'true' } },
    })
    const watching = await api.watch(path, { labelSelector: 'test-serviceaccount-static=true' })
    await watching.next('added', ({ type }) => type === 'ADDED')
    await api.patch(
      `${path}/testserviceaccount`,
      { automountServiceAccountToken: false },
      'strategic-merge',
    )
    await watching.next(
      'patched',
      ({ type, object }) => type === 'MODIFIED' && object['automountServiceAccountToken'] === false,
    )
    const all = await api.get('/api/v1/serviceaccounts', {
      labelSelector: 'test-serviceaccount-static=true',
    })
    assert.ok(all['items'].some((item: Json) => item['metadata'].namespace === namespace))
    // All of them, the default one with the rest.
    await api.delete(path)
    await watching.next('deleted', ({ type }) => type === 'DELETED')
    watching.stop()
  },
)

mirror(
  '[sig-auth] ServiceAccounts should create a serviceAccountToken and ensure a successful TokenReview [Conformance]',
  async ({ api, ns, namespace }) => {
    await api.post(ns('serviceaccounts'), {
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { name: 'reviewed' },
    })
    const issued = await api.post(ns('serviceaccounts/reviewed/token'), {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: {},
    })
    assert.ok(issued['status'].token.length > 100)
    const review = await api.post('/apis/authentication.k8s.io/v1/tokenreviews', {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenReview',
      spec: { token: issued['status'].token },
    })
    assert.equal(review['status'].authenticated, true)
    assert.equal(review['status'].error ?? '', '')
    assert.equal(review['status'].user.username, `system:serviceaccount:${namespace}:reviewed`)
  },
)

mirror(
  '[sig-node] PodTemplates should run the lifecycle of PodTemplates [Conformance]',
  async ({ api, ns }) => {
    const path = ns('podtemplates')
    await api.post(path, {
      apiVersion: 'v1',
      kind: 'PodTemplate',
      metadata: { name: 'template', labels: { 'podtemplate-static': 'true' } },
      template: { spec: { containers: [{ name: 'nginx', image: 'nginx' }] } },
    })
    assert.equal(
      (await api.get('/api/v1/podtemplates', { labelSelector: 'podtemplate-static=true' }))['items']
        .length > 0,
      true,
    )
    await api.patch(
      `${path}/template`,
      { metadata: { labels: { podtemplate: 'patched' } } },
      'strategic-merge',
    )
    assert.equal((await api.get(`${path}/template`))['metadata'].labels.podtemplate, 'patched')
    await api.delete(`${path}/template`)
    assert.equal(
      (await api.get(path, { labelSelector: 'podtemplate-static=true' }))['items'].length,
      0,
    )
  },
)

mirror(
  '[sig-network] API Server should provide secure master service [Conformance]',
  async ({ api }) => {
    const service = await api.get('/api/v1/namespaces/default/services/kubernetes')
    assert.ok(service['spec'].clusterIP)
    assert.deepEqual(
      service['spec'].ports.map((p: Json) => [p['name'], p['port']]),
      [['https', 443]],
    )
  },
)

mirror(
  '[sig-network] API Server should have Endpoints and EndpointSlices pointing to API Server [Conformance]',
  async ({ api }) => {
    const endpoints = await api.get('/api/v1/namespaces/default/endpoints/kubernetes')
    assert.equal(endpoints['subsets'].length, 1)
    const slices = await api.get('/apis/discovery.k8s.io/v1/namespaces/default/endpointslices', {
      labelSelector: 'kubernetes.io/service-name=kubernetes',
    })
    const addresses = slices['items'].flatMap((slice: Json) =>
      slice['endpoints'].flatMap((e: Json) => e['addresses'] as string[]),
    )
    assert.deepEqual(
      addresses.toSorted(),
      endpoints['subsets'][0].addresses.map((a: Json) => a['ip']).toSorted(),
    )
    const portsOf = (of: Json[]): Set<number> =>
      new Set(of.flatMap((each) => each['ports'].map((p: Json) => p['port'] as number)))
    assert.deepEqual(portsOf(slices['items']), portsOf(endpoints['subsets']))
  },
)

const amounts = (cpu?: string, memory?: string, storage?: string): Json => ({
  ...(cpu === undefined ? {} : { cpu }),
  ...(memory === undefined ? {} : { memory }),
  ...(storage === undefined ? {} : { 'ephemeral-storage': storage }),
})

mirror(
  '[sig-scheduling] LimitRange should create a LimitRange with defaults and ensure pod has those defaults applied. [Conformance]',
  async ({ api, ns }) => {
    const path = ns('limitranges')
    const defaults = {
      limits: amounts('500m', '500Mi', '500Gi'),
      requests: amounts('100m', '200Mi', '200Gi'),
    }
    const watching = await api.watch(path, { labelSelector: 'time=now' })
    const made = await api.post(path, {
      apiVersion: 'v1',
      kind: 'LimitRange',
      metadata: { name: 'limit-range', labels: { time: 'now' } },
      spec: {
        limits: [
          {
            type: 'Container',
            min: amounts('50m', '100Mi', '100Gi'),
            max: amounts('500m', '500Mi', '500Gi'),
            default: defaults.limits,
            defaultRequest: defaults.requests,
            maxLimitRequestRatio: {},
          },
        ],
      },
    })
    await watching.next('the limits', ({ type }) => type === 'ADDED')
    watching.stop()
    const [limit] = (await api.get(`${path}/limit-range`))['spec'].limits
    assert.deepEqual([limit.default, limit.defaultRequest], [defaults.limits, defaults.requests])

    const create = (name: string, requests: Json, limits: Json = {}) =>
      api.call('POST', ns('pods'), {
        body: {
          apiVersion: 'v1',
          kind: 'Pod',
          metadata: { name },
          spec: {
            containers: [{ name: 'pause', image: 'pause', resources: { requests, limits } }],
          },
        },
      })
    const resourcesOf = async (name: string): Promise<Json> =>
      (await api.get(ns(`pods/${name}`)))['spec'].containers[0].resources
    assert.equal((await create('pod-no-resources', {})).status, 201)
    assert.deepEqual(await resourcesOf('pod-no-resources'), defaults)
    // A limit that is said is the request, where that is not said.
    const partial = await create(
      'pod-partial-resources',
      amounts(undefined, '150Mi', '150Gi'),
      amounts('300m'),
    )
    assert.equal(partial.status, 201)
    assert.deepEqual(await resourcesOf('pod-partial-resources'), {
      limits: amounts('300m', '500Mi', '500Gi'),
      requests: amounts('300m', '150Mi', '150Gi'),
    })
    const little = amounts('10m', '50Mi', '50Gi')
    const much = amounts('600m', '600Mi', '600Gi')
    assert.equal((await create('pfpod', little)).status, 403)
    assert.ok((await create('pfpod', much)).status >= 400)

    made['spec'].limits[0].min = amounts('9m', '49Mi', '49Gi')
    await api.put(`${path}/limit-range`, made)
    assert.equal((await create('pfpod', little)).status, 201)
    assert.ok((await create('pfpod', much)).status >= 400)
    await api.delete(`${path}/limit-range`, { gracePeriodSeconds: 30 })
    assert.equal((await create('pfpod2', much)).status, 201)
  },
)
