import assert from 'node:assert/strict'
import { isDeepStrictEqual } from 'node:util'
import type { Json, WatchFrame } from '../api.ts'
import { configMap, mirror, type Fixture } from '../mirror.ts'
import {
  change,
  names,
  pause,
  pod,
  PAUSE,
  refused,
  replicaSet,
  replicationController,
  service,
} from '../support.ts'

const quota = (name: string, hard: Json, spec: Json = {}, labels: Json = {}): Json => ({
  apiVersion: 'v1',
  kind: 'ResourceQuota',
  metadata: { name, labels },
  spec: { hard, ...spec },
})

/** Everything that the tests count, but for what the namespace itself has. */
const EVERYTHING = {
  pods: '5',
  services: '10',
  'services.nodeports': '1',
  'services.loadbalancers': '1',
  replicationcontrollers: '10',
  resourcequotas: '1',
  cpu: '1',
  memory: '500Mi',
  'ephemeral-storage': '50Gi',
  persistentvolumeclaims: '10',
  'requests.storage': '10Gi',
  'count/replicasets.apps': '5',
  'requests.example.com/dongle': '3',
}

/** The status says these amounts as used, among others, and the same hard limits as the spec. */
const used = (
  { api, ns, until }: Fixture,
  name: string,
  expected: Readonly<Record<string, string>>,
  withinMs = 60_000,
): Promise<unknown> => {
  let last: Json = {}
  return until(
    `quota ${name} has used ${JSON.stringify(expected)}`,
    async () => {
      const { spec, status } = await api.get(ns(`resourcequotas/${name}`))
      last = status
      return (
        isDeepStrictEqual(status?.hard, spec.hard) &&
        Object.entries(expected).every(([key, value]) => status?.used?.[key] === value)
      )
    },
    withinMs,
  ).catch((error: unknown) => {
    throw new Error(`${String(error)}: ${JSON.stringify(last)}`)
  })
}

const EXCEEDED = /exceeded quota/

mirror(
  '[sig-api-machinery] ResourceQuota should create a ResourceQuota and ensure its status is promptly calculated. [Conformance]',
  async (fixture) => {
    const { api, ns } = fixture
    await api.post(ns('resourcequotas'), quota('test-quota', EVERYTHING))
    await used(fixture, 'test-quota', { resourcequotas: '1' })
  },
)

mirror(
  '[sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a service. [Conformance]',
  async (fixture) => {
    const { api, ns } = fixture
    await api.post(ns('resourcequotas'), quota('test-quota', EVERYTHING))
    await used(fixture, 'test-quota', { resourcequotas: '1' })
    const ports = [{ port: 80, targetPort: 80 }]
    await api.post(ns('services'), service('test-service', { type: 'ClusterIP', ports }))
    await api.post(ns('services'), service('test-service-np', { type: 'NodePort', ports }))
    await refused(
      api,
      'POST',
      ns('services'),
      service('test-service-lb', { type: 'LoadBalancer', ports }),
      403,
      EXCEEDED,
    )
    await used(fixture, 'test-quota', {
      services: '2',
      'services.nodeports': '1',
      'services.loadbalancers': '0',
    })
    await api.delete(ns('services/test-service'))
    await api.delete(ns('services/test-service-np'))
    await used(fixture, 'test-quota', {
      services: '0',
      'services.nodeports': '0',
      'services.loadbalancers': '0',
    })
  },
)

mirror(
  '[sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a secret. [Conformance]',
  async (fixture) => {
    const { api, ns, until } = fixture
    // Whatever a cluster puts into a new namespace is counted first, once it has settled.
    const before = await settled(until, async () => (await api.get(ns('secrets')))['items'].length)
    await api.post(
      ns('resourcequotas'),
      quota('test-quota', { ...EVERYTHING, secrets: String(before + 1) }),
    )
    await used(fixture, 'test-quota', { resourcequotas: '1', secrets: String(before) })
    await api.post(ns('secrets'), {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'test-secret' },
      data: { 'data-1': Buffer.from('value-1\n\r').toString('base64') },
    })
    await used(fixture, 'test-quota', { secrets: String(before + 1) })
    await api.delete(ns('secrets/test-secret'))
    await used(fixture, 'test-quota', { secrets: String(before) })
  },
)

mirror(
  '[sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a configMap. [Conformance]',
  async (fixture) => {
    const { api, ns, until } = fixture
    const before = await settled(
      until,
      async () => (await api.get(ns('configmaps')))['items'].length,
    )
    await api.post(
      ns('resourcequotas'),
      quota('test-quota', { ...EVERYTHING, configmaps: String(before + 1) }),
    )
    await used(fixture, 'test-quota', { resourcequotas: '1', configmaps: String(before) })
    await api.post(ns('configmaps'), configMap('test-configmap', { data: { a: 'b' } }))
    await used(fixture, 'test-quota', { configmaps: String(before + 1) })
    await refused(api, 'POST', ns('configmaps'), configMap('one-more'), 403, EXCEEDED)
    await api.delete(ns('configmaps/test-configmap'))
    await used(fixture, 'test-quota', { configmaps: String(before) })
  },
)

const sized = (name: string, amounts: Json, extended: Json = {}): Json =>
  pod(name, {
    container: { resources: { requests: { ...amounts, ...extended }, limits: extended } },
  })

mirror(
  '[sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a pod. [Conformance]',
  async (fixture) => {
    const { api, ns } = fixture
    await api.post(ns('resourcequotas'), quota('test-quota', EVERYTHING))
    await used(fixture, 'test-quota', { resourcequotas: '1' })
    const own = { cpu: '500m', memory: '252Mi', 'ephemeral-storage': '30Gi' }
    const dongles = { 'example.com/dongle': '2' }
    const taken = {
      pods: '1',
      cpu: '500m',
      memory: '252Mi',
      'ephemeral-storage': '30Gi',
      'requests.example.com/dongle': '2',
    }
    const created = await api.post(ns('pods'), sized('test-pod', own, dongles))
    await used(fixture, 'test-quota', taken)
    // Too much of one compute resource, and of an extended one.
    await refused(
      api,
      'POST',
      ns('pods'),
      sized('fail-pod', { cpu: '600m', memory: '100Mi' }),
      403,
      EXCEEDED,
    )
    await refused(
      api,
      'POST',
      ns('pods'),
      sized(
        'fail-pod-for-extended-resource',
        { cpu: '500m', memory: '100Mi', 'ephemeral-storage': '10Gi' },
        dongles,
      ),
      403,
      EXCEEDED,
    )
    // Requests of a pod stay, and so does the usage, whatever else of it changes.
    await refused(
      api,
      'PUT',
      ns(`pods/test-pod`),
      {
        ...created,
        spec: {
          ...created['spec'],
          containers: [
            {
              ...created['spec'].containers[0],
              resources: { requests: { cpu: '100m', memory: '100Mi' } },
            },
          ],
        },
        metadata: { ...created['metadata'], resourceVersion: undefined },
      },
      422,
    )
    await used(fixture, 'test-quota', taken)
    await api.delete(ns('pods/test-pod'), { gracePeriodSeconds: 0 })
    await used(fixture, 'test-quota', {
      pods: '0',
      cpu: '0',
      memory: '0',
      'ephemeral-storage': '0',
      'requests.example.com/dongle': '0',
    })
  },
)

mirror(
  '[sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a replication controller. [Conformance]',
  async (fixture) => {
    const { api, ns } = fixture
    await api.post(ns('resourcequotas'), quota('test-quota', EVERYTHING))
    await used(fixture, 'test-quota', { resourcequotas: '1', replicationcontrollers: '0' })
    await api.post(ns('replicationcontrollers'), replicationController('test-rc', { replicas: 0 }))
    await used(fixture, 'test-quota', { replicationcontrollers: '1' })
    await api.delete(ns('replicationcontrollers/test-rc'), { propagationPolicy: 'Background' })
    await used(fixture, 'test-quota', { replicationcontrollers: '0' })
  },
)

mirror(
  '[sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a replica set. [Conformance]',
  async (fixture) => {
    const { api, ns, namespace } = fixture
    await api.post(ns('resourcequotas'), quota('test-quota', EVERYTHING))
    await used(fixture, 'test-quota', { resourcequotas: '1', 'count/replicasets.apps': '0' })
    const path = `/apis/apps/v1/namespaces/${namespace}/replicasets`
    await api.post(path, replicaSet('test-rs', { replicas: 0 }))
    await used(fixture, 'test-quota', { 'count/replicasets.apps': '1' })
    await api.delete(`${path}/test-rs`)
    await used(fixture, 'test-quota', { 'count/replicasets.apps': '0' })
  },
)

mirror(
  '[sig-api-machinery] ResourceQuota should verify ResourceQuota with terminating scopes. [Conformance]',
  async (fixture) => {
    const { api, ns } = fixture
    const hard = {
      pods: '5',
      'requests.cpu': '1',
      'requests.memory': '500Mi',
      'limits.cpu': '2',
      'limits.memory': '1Gi',
    }
    const none = {
      pods: '0',
      'requests.cpu': '0',
      'requests.memory': '0',
      'limits.cpu': '0',
      'limits.memory': '0',
    }
    const one = {
      pods: '1',
      'requests.cpu': '500m',
      'requests.memory': '200Mi',
      'limits.cpu': '1',
      'limits.memory': '400Mi',
    }
    for (const [name, scope] of [
      ['quota-terminating', 'Terminating'],
      ['quota-not-terminating', 'NotTerminating'],
    ] as const)
      await api.post(ns('resourcequotas'), quota(name, hard, { scopes: [scope] }))
    for (const name of ['quota-terminating', 'quota-not-terminating'])
      await used(fixture, name, none)
    const container = {
      resources: {
        requests: { cpu: '500m', memory: '200Mi' },
        limits: { cpu: '1', memory: '400Mi' },
      },
    }
    await api.post(ns('pods'), pod('test-pod', { container }))
    await used(fixture, 'quota-not-terminating', one)
    await used(fixture, 'quota-terminating', none)
    await api.delete(ns('pods/test-pod'), { gracePeriodSeconds: 0 })
    await used(fixture, 'quota-not-terminating', none)
    await api.post(
      ns('pods'),
      pod('terminating-pod', { container, spec: { activeDeadlineSeconds: 3600 } }),
    )
    await used(fixture, 'quota-terminating', one)
    await used(fixture, 'quota-not-terminating', none)
    await api.delete(ns('pods/terminating-pod'), { gracePeriodSeconds: 0 })
    await used(fixture, 'quota-terminating', none)
  },
)

mirror(
  '[sig-api-machinery] ResourceQuota should verify ResourceQuota with best effort scope. [Conformance]',
  async (fixture) => {
    const { api, ns } = fixture
    for (const [name, scope] of [
      ['quota-besteffort', 'BestEffort'],
      ['quota-not-besteffort', 'NotBestEffort'],
    ] as const)
      await api.post(ns('resourcequotas'), quota(name, { pods: '5' }, { scopes: [scope] }))
    for (const name of ['quota-besteffort', 'quota-not-besteffort'])
      await used(fixture, name, { pods: '0' })
    await api.post(ns('pods'), pod('besteffort'))
    await used(fixture, 'quota-besteffort', { pods: '1' })
    await used(fixture, 'quota-not-besteffort', { pods: '0' })
    await api.delete(ns('pods/besteffort'), { gracePeriodSeconds: 0 })
    await used(fixture, 'quota-besteffort', { pods: '0' })
    await api.post(
      ns('pods'),
      pod('burstable', {
        container: {
          image: PAUSE,
          resources: {
            requests: { cpu: '500m', memory: '200Mi' },
            limits: { cpu: '1', memory: '400Mi' },
          },
        },
      }),
    )
    await used(fixture, 'quota-not-besteffort', { pods: '1' })
    await used(fixture, 'quota-besteffort', { pods: '0' })
    await api.delete(ns('pods/burstable'), { gracePeriodSeconds: 0 })
    await used(fixture, 'quota-not-besteffort', { pods: '0' })
  },
)

mirror(
  '[sig-api-machinery] ResourceQuota should be able to update and delete ResourceQuota. [Conformance]',
  async ({ api, ns }) => {
    const path = ns('resourcequotas')
    const created = await api.post(path, quota('test-quota', { cpu: '1', memory: '500Mi' }))
    assert.deepEqual(created['spec'].hard, { cpu: '1', memory: '500Mi' })
    assert.deepEqual((await api.get(`${path}/test-quota`))['spec'].hard, created['spec'].hard)
    const updated = await change(api, `${path}/test-quota`, (object) => {
      object['spec'].hard = { cpu: '2', memory: '1Gi' }
    })
    assert.deepEqual(updated['spec'].hard, { cpu: '2', memory: '1Gi' })
    assert.deepEqual((await api.get(`${path}/test-quota`))['spec'].hard, updated['spec'].hard)
    await api.delete(`${path}/test-quota`)
    assert.equal((await api.call('GET', `${path}/test-quota`)).status, 404)
  },
)

mirror(
  '[sig-api-machinery] ResourceQuota should manage the lifecycle of a ResourceQuota [Conformance]',
  async ({ api, ns, namespace, unique, until }) => {
    const path = ns('resourcequotas')
    const label = unique('quota')
    const selector = { labelSelector: `e2e-test=${label}` }
    await api.post(
      path,
      quota('e2e-quota', { cpu: '1', memory: '500Mi' }, {}, { 'e2e-test': label }),
    )
    const everywhere = await api.get('/api/v1/resourcequotas', selector)
    assert.deepEqual(
      everywhere['items'].map((q: Json) => [q['metadata'].namespace, q['metadata'].name]),
      [[namespace, 'e2e-quota']],
    )
    const patched = await api.patch(
      `${path}/e2e-quota`,
      { metadata: { labels: { 'e2e-quota': 'patched' } }, spec: { hard: { memory: '750Mi' } } },
      'strategic-merge',
    )
    assert.equal(patched['metadata'].labels['e2e-quota'], 'patched')
    assert.deepEqual(patched['spec'].hard, { cpu: '1', memory: '750Mi' })
    await api.delete(path, undefined, selector)
    await until(
      'the quota is gone',
      async () => names(await api.get('/api/v1/resourcequotas', selector)).length === 0,
    )
  },
)

mirror(
  '[sig-api-machinery] ResourceQuota should apply changes to a resourcequota status [Conformance]',
  async ({ api, ns, until, unique, profile }) => {
    const path = ns('resourcequotas')
    const name = unique('quota')
    const hard = { cpu: '500m', memory: '500Mi' }
    await api.post(path, quota(name, hard, {}, { quota: name }))
    await until('status is calculated', async () => {
      const { status } = await api.get(`${path}/${name}`)
      return status?.hard?.cpu === '500m' && status.hard.memory === '500Mi'
    })
    const watching = await api.watch(path, { labelSelector: `quota=${name}` })
    const seen =
      (hard: Readonly<Record<string, string>>): ((frame: WatchFrame) => boolean) =>
      ({ object }) =>
        isDeepStrictEqual(object['status'].hard, hard)
    // An update of status alone takes nothing from the spec it carries, nor needs what is used.
    const doubled = { cpu: '1', memory: '1Gi' }
    const updated = await change(
      api,
      `${path}/${name}`,
      (object) => {
        object['status'] = { hard: doubled }
      },
      `${path}/${name}/status`,
    )
    assert.deepEqual(updated['status'].hard, doubled)
    assert.deepEqual(updated['spec'].hard, hard)
    await watching.next('the update of status', seen(doubled))
    const widened = await api.patch(
      `${path}/${name}`,
      { metadata: { labels: { [name]: 'patched' } }, spec: { hard: doubled } },
      'strategic-merge',
    )
    assert.deepEqual(widened['spec'].hard, doubled)
    await watching.next('the patch of spec', ({ object }) =>
      isDeepStrictEqual(object['spec'].hard, doubled),
    )
    const more = { cpu: '2', memory: '2Gi' }
    const patched = await api.patch(
      `${path}/${name}/status`,
      { metadata: { labels: { [name]: 'patched' } }, status: { hard: more } },
      'strategic-merge',
    )
    assert.deepEqual(patched['status'].hard, more)
    assert.deepEqual(patched['spec'].hard, doubled)
    await watching.next('the patch of status', seen(more))
    const got = await api.get(`${path}/${name}/status`)
    assert.deepEqual(got['spec'].hard, doubled)
    // The controller says again what the spec says, when it looks next; a pod that goes makes it look.
    if (profile === 'fast') {
      const resources = { requests: { cpu: '1m', memory: '1Mi' } }
      await api.post(ns('pods'), pod('short', { container: { resources } }))
      await api.delete(ns('pods/short'), { gracePeriodSeconds: 0 })
    }
    await watching.next('the status is calculated anew', seen(doubled), 360_000)
    const read = await api.get(`${path}/${name}/status`)
    assert.deepEqual(read['spec'].hard, doubled)
    watching.stop()
  },
)

/** A number once it has been the same twice. */
async function settled(until: Fixture['until'], count: () => Promise<number>): Promise<number> {
  let last = -1
  return Number(
    await until('the count settles', async () => {
      const now = await count()
      const same = now === last
      last = now
      if (!same) await pause(100)
      return same && String(now)
    }),
  )
}

mirror(
  '[sig-apps] ReplicationController should surface a failure condition on a common issue like exceeded quota [Conformance]',
  async ({ api, ns, until }) => {
    await api.post(ns('resourcequotas'), quota('condition-test', { pods: '2' }))
    await until(
      'the quota has a status',
      async () =>
        (await api.get(ns('resourcequotas/condition-test')))['status']?.hard?.pods === '2',
    )
    const path = ns('replicationcontrollers/condition-test')
    await api.post(
      ns('replicationcontrollers'),
      replicationController('condition-test', { replicas: 3, container: { image: PAUSE } }),
    )
    const failure = (rc: Json): Json | undefined =>
      rc['status'].conditions?.find((c: Json) => c['type'] === 'ReplicaFailure')
    const shown = await until('the condition shows', async () => {
      const rc = await api.get(path)
      return rc['status'].observedGeneration >= rc['metadata'].generation && failure(rc)
    })
    assert.equal(shown['status'], 'True')
    assert.equal(shown['reason'], 'FailedCreate')
    await change(api, path, (rc) => {
      rc['spec'].replicas = 2
    })
    await until('the condition goes', async () => {
      const rc = await api.get(path)
      return (
        rc['status'].observedGeneration >= rc['metadata'].generation && failure(rc) === undefined
      )
    })
  },
)

mirror(
  '[sig-scheduling] LimitRange should list, patch and delete a LimitRange by collection [Conformance]',
  async ({ api, ns, unique, until, cleanUp }) => {
    const label = unique('limits')
    const selector = { labelSelector: `e2e-test=${label}` }
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
    const spec = {
      limits: [
        {
          type: 'Container',
          min: { cpu: '50m', memory: '100Mi', 'ephemeral-storage': '100Gi' },
          max: { cpu: '500m', memory: '500Mi', 'ephemeral-storage': '500Gi' },
          default: { cpu: '500m', memory: '500Mi', 'ephemeral-storage': '500Gi' },
          defaultRequest: { cpu: '100m', memory: '200Mi', 'ephemeral-storage': '200Gi' },
          maxLimitRequestRatio: {},
        },
      ],
    }
    const limits = (name: string): Json => ({
      apiVersion: 'v1',
      kind: 'LimitRange',
      metadata: { name, labels: { 'e2e-test': label } },
      spec,
    })
    await api.post(ns('limitranges'), limits(label))
    await api.post(`/api/v1/namespaces/${other}/limitranges`, limits(label))
    assert.equal((await api.get('/api/v1/limitranges', selector))['items'].length, 2)
    const patched = await api.patch(
      ns(`limitranges/${label}`),
      {
        metadata: { labels: { [label]: 'patched' } },
        spec: { limits: [{ type: 'Container', min: { cpu: '40m' } }] },
      },
      'strategic-merge',
    )
    assert.equal(patched['metadata'].labels[label], 'patched')
    assert.equal(patched['spec'].limits[0].min.cpu, '40m')
    await api.delete(ns('limitranges'), undefined, { labelSelector: `${label}=patched` })
    await until(
      'the patched one is gone',
      async () => (await api.get(ns('limitranges'), selector))['items'].length === 0,
    )
    assert.equal((await api.get('/api/v1/limitranges', selector))['items'].length, 1)
  },
)
