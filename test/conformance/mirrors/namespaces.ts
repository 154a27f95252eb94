import assert from 'node:assert/strict'
import type { Json } from '../api.ts'
import { configMap, mirror, type Fixture } from '../mirror.ts'
import { change, gone, names, pod, runningPod, service } from '../support.ts'

async function fresh({ api, unique, cleanUp }: Fixture, metadata: Json = {}): Promise<string> {
  const name = unique('nspatchtest')
  await api.post('/api/v1/namespaces', {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name, ...metadata },
  })
  cleanUp(async () => {
    await change(api, `/api/v1/namespaces/${name}`, (object) => {
      delete object['metadata'].finalizers
    }).catch(() => undefined)
    await api.delete(`/api/v1/namespaces/${name}`)
  })
  return name
}

mirror(
  '[sig-api-machinery] Namespaces should patch a Namespace [Conformance] [Serial]',
  async (fixture) => {
    const { api } = fixture
    const name = await fresh(fixture)
    await api.patch(
      `/api/v1/namespaces/${name}`,
      { metadata: { labels: { testLabel: 'testValue' } } },
      'strategic-merge',
    )
    const got = await api.get(`/api/v1/namespaces/${name}`)
    assert.equal(got['metadata'].labels.testLabel, 'testValue')
    assert.equal(got['metadata'].labels['kubernetes.io/metadata.name'], name)
  },
)

mirror(
  '[sig-api-machinery] Namespaces should apply an update to a Namespace [Conformance] [Serial]',
  async (fixture) => {
    const { api } = fixture
    const name = await fresh(fixture)
    const updated = await change(api, `/api/v1/namespaces/${name}`, (object) => {
      object['metadata'].labels[name] = 'updated'
    })
    assert.equal(updated['metadata'].labels[name], 'updated')
  },
)

const condition = (type: string): Json => ({
  type,
  status: 'True',
  reason: 'E2E',
  message: 'Updated by an e2e test',
})

mirror(
  '[sig-api-machinery] Namespaces should apply changes to a namespace status [Conformance] [Serial]',
  async (fixture) => {
    const { api } = fixture
    const name = await fresh(fixture)
    const path = `/api/v1/namespaces/${name}`
    const read = await api.get(`${path}/status`)
    assert.equal(read['status'].phase, 'Active')
    const patched = await api.patch(
      `${path}/status`,
      {
        metadata: { annotations: { 'e2e-patched-ns-status': name } },
        status: { conditions: [condition('StatusPatch')] },
      },
      'merge',
    )
    assert.equal(patched['status'].phase, 'Active')
    assert.equal(patched['metadata'].annotations['e2e-patched-ns-status'], name)
    const [first] = patched['status'].conditions
    assert.deepEqual(
      [first.type, first.status, first.reason, first.message],
      ['StatusPatch', 'True', 'E2E', 'Updated by an e2e test'],
    )
    const updated = await change(
      api,
      path,
      (object) => {
        object['status'].conditions.push(condition('StatusUpdate'))
      },
      `${path}/status`,
    )
    assert.deepEqual(
      updated['status'].conditions.map((c: Json) => c['type']),
      ['StatusPatch', 'StatusUpdate'],
    )
    assert.equal(updated['status'].phase, 'Active')
  },
)

mirror(
  '[sig-api-machinery] Namespaces should apply a finalizer to a Namespace [Conformance] [Serial]',
  async (fixture) => {
    const { api, until } = fixture
    const name = await fresh(fixture)
    const path = `/api/v1/namespaces/${name}`
    const extra = 'e2e.example.com/fakeFinalizer'
    const updated = await change(
      api,
      path,
      (object) => {
        object['spec'].finalizers.push(extra)
      },
      `${path}/finalize`,
    )
    assert.deepEqual(updated['spec'].finalizers, ['kubernetes', extra])
    assert.ok((await api.get(path))['spec'].finalizers.includes(extra))
    const without = await change(
      api,
      path,
      (object) => {
        object['spec'].finalizers = object['spec'].finalizers.filter((f: string) => f !== extra)
      },
      `${path}/finalize`,
    )
    assert.deepEqual(without['spec'].finalizers, ['kubernetes'])
    await api.delete(path)
    await until('the namespace is gone', () => gone(api, path))
  },
)

/** Deletes the namespace, waits, makes it again: nothing of what was in it is there. */
async function emptied({ api, until }: Fixture, name: string, resource: string): Promise<void> {
  const path = `/api/v1/namespaces/${name}`
  await api.delete(path)
  await until('the namespace is gone', () => gone(api, path), 90_000)
  await api.post('/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name } })
  assert.deepEqual(names(await api.get(`${path}/${resource}`)), [])
}

mirror(
  '[sig-api-machinery] Namespaces should ensure that all services are removed when a namespace is deleted [Conformance] [Serial]',
  async (fixture) => {
    const { api } = fixture
    const name = await fresh(fixture)
    await api.post(
      `/api/v1/namespaces/${name}/services`,
      service('test-service', {
        selector: { foo: 'bar', baz: 'blah' },
        ports: [{ port: 80, targetPort: 80 }],
      }),
    )
    await emptied(fixture, name, 'services')
    assert.equal(
      (await api.call('GET', `/api/v1/namespaces/${name}/services/test-service`)).status,
      404,
    )
  },
)

mirror(
  '[sig-api-machinery] Namespaces should ensure that all pods are removed when a namespace is deleted [Conformance] [Serial]',
  async (fixture) => {
    const { api, until } = fixture
    const name = await fresh(fixture)
    const ns = (path: string): string => `/api/v1/namespaces/${name}/${path}`
    await until(
      'the default account exists',
      async () => !(await gone(api, ns('serviceaccounts/default'))),
    )
    await api.post(ns('pods'), pod('test-pod'))
    await runningPod({ api, ns, until }, 'test-pod')
    await emptied(fixture, name, 'pods')
    assert.equal((await api.call('GET', ns('pods/test-pod'))).status, 404)
  },
)

mirror(
  '[sig-api-machinery] OrderedNamespaceDeletion namespace deletion should delete pod first [Conformance]',
  async (fixture) => {
    const { api, until } = fixture
    const name = await fresh(fixture)
    const ns = (path: string): string => `/api/v1/namespaces/${name}/${path}`
    const finalizer = 'example.com/test-finalizer'
    await until(
      'the default account exists',
      async () => !(await gone(api, ns('serviceaccounts/default'))),
    )
    await api.post(ns('pods'), pod('testpod', { metadata: { finalizers: [finalizer] } }))
    await api.post(ns('configmaps'), configMap('testconfigmap', { data: { key: 'value' } }))
    await runningPod({ api, ns, until }, 'testpod')
    await api.delete(`/api/v1/namespaces/${name}`)
    await until('the namespace says that its content remains', async () => {
      const { status } = await api.get(`/api/v1/namespaces/${name}`)
      const of = (type: string): Json | undefined =>
        status.conditions?.find((c: Json) => c['type'] === type)
      return (
        status.phase === 'Terminating' &&
        of('NamespaceDeletionContentFailure') !== undefined &&
        of('NamespaceContentRemaining')?.['status'] === 'True'
      )
    })
    assert.notEqual((await api.get(ns('pods/testpod')))['metadata'].deletionTimestamp, undefined)
    // The pod is waited for before anything else goes.
    assert.equal((await api.get(ns('configmaps/testconfigmap')))['data'].key, 'value')
    await change(api, ns('pods/testpod'), (object) => {
      object['metadata'].finalizers = []
    })
    await until('the namespace is gone', () => gone(api, `/api/v1/namespaces/${name}`), 120_000)
  },
)
