import assert from 'node:assert/strict'
import type { Json } from '../api.ts'
import { mirror } from '../mirror.ts'

mirror(
  '[sig-node] Lease lease API should be available [Conformance]',
  async ({ api, namespace }) => {
    const path = `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`
    const spec = {
      holderIdentity: 'holder',
      leaseDurationSeconds: 30,
      acquireTime: '2026-01-01T00:00:00.000000Z',
      renewTime: '2026-01-01T00:00:05.000000Z',
      leaseTransitions: 0,
    }
    const created = await api.post(path, {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { name: 'lease' },
      spec,
    })
    assert.deepEqual(created['spec'], spec)
    const replaced = await api.put(`${path}/lease`, {
      ...created,
      spec: { ...spec, holderIdentity: 'other', leaseTransitions: 1 },
    })
    assert.equal(replaced['spec'].holderIdentity, 'other')
    const patched = await api.patch(
      `${path}/lease`,
      { spec: { leaseTransitions: 2 } },
      'strategic-merge',
    )
    assert.deepEqual(
      [patched['spec'].holderIdentity, patched['spec'].leaseTransitions],
      ['other', 2],
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
    await api.patch(path, { data: { 'ca.crt': '' } }, 'merge')
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
    await api.delete(path, undefined, { labelSelector: 'test-serviceaccount-static=true' })
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
  },
)

mirror(
  '[sig-scheduling] LimitRange should create a LimitRange with defaults and ensure pod has those defaults applied. [Conformance]',
  async ({ api, ns }) => {
    await api.post(ns('limitranges'), {
      apiVersion: 'v1',
      kind: 'LimitRange',
      metadata: { name: 'limits' },
      spec: {
        limits: [
          {
            type: 'Container',
            min: { cpu: '50m', memory: '100Mi' },
            max: { cpu: '500m', memory: '500Mi' },
            default: { cpu: '500m', memory: '500Mi' },
            defaultRequest: { cpu: '100m', memory: '200Mi' },
          },
        ],
      },
    })
    const pod = (name: string, resources: Json): Json => ({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name },
      spec: { containers: [{ name: 'pause', image: 'pause', resources }] },
    })
    const plain = await api.post(ns('pods'), pod('plain', {}))
    assert.deepEqual(plain['spec'].containers[0].resources, {
      limits: { cpu: '500m', memory: '500Mi' },
      requests: { cpu: '100m', memory: '200Mi' },
    })
    const partial = await api.post(
      ns('pods'),
      pod('partial', { requests: { cpu: '150m' }, limits: { cpu: '300m' } }),
    )
    assert.deepEqual(partial['spec'].containers[0].resources, {
      limits: { cpu: '300m', memory: '500Mi' },
      requests: { cpu: '150m', memory: '200Mi' },
    })
    assert.equal(
      (
        await api.call('POST', ns('pods'), {
          body: pod('small', { requests: { cpu: '10m', memory: '50Mi' } }),
        })
      ).status,
      403,
    )
    assert.equal(
      (
        await api.call('POST', ns('pods'), {
          body: pod('large', {
            requests: { cpu: '600m', memory: '600Mi' },
            limits: { cpu: '600m', memory: '600Mi' },
          }),
        })
      ).status,
      403,
    )
  },
)
