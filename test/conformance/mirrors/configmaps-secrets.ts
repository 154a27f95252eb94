import assert from 'node:assert/strict'
import { configMap, mirror } from '../mirror.ts'

mirror(
  '[sig-node] ConfigMap should run through a ConfigMap lifecycle [Conformance]',
  async ({ api, ns, namespace }) => {
    const path = ns('configmaps')
    const created = await api.post(
      path,
      configMap('lifecycle', {
        metadata: { labels: { 'test-configmap-static': 'true' } },
        data: { valueName: 'value' },
      }),
    )
    const watching = await api.watch(path, {
      labelSelector: 'test-configmap-static=true',
      resourceVersion: created['metadata'].resourceVersion,
    })
    await api.patch(
      `${path}/lifecycle`,
      { metadata: { labels: { 'test-configmap': 'patched' } }, data: { valueName: 'value1' } },
      'strategic-merge',
    )
    await watching.next(
      'the patch',
      ({ type, object }) => type === 'MODIFIED' && object['data'].valueName === 'value1',
    )
    const all = await api.get('/api/v1/configmaps', { labelSelector: 'test-configmap-static=true' })
    const found = all['items'].find(
      (item: { metadata: { namespace: string } }) => item.metadata.namespace === namespace,
    )
    assert.equal(found.data.valueName, 'value1')
    assert.equal(found.metadata.labels['test-configmap'], 'patched')
    await api.delete(path, undefined, { labelSelector: 'test-configmap-static=true' })
    await watching.next('the deletion', ({ type }) => type === 'DELETED')
    watching.stop()
    assert.equal(
      (await api.get(path, { labelSelector: 'test-configmap-static=true' }))['items'].length,
      0,
    )
  },
)

mirror(
  '[sig-node] ConfigMap should fail to create ConfigMap with empty key [Conformance]',
  async ({ api, ns }) => {
    const answer = await api.call('POST', ns('configmaps'), {
      body: configMap('empty-key', { data: { '': 'value' } }),
    })
    assert.equal(answer.status, 422)
    assert.equal(answer.json['reason'], 'Invalid')
  },
)

mirror(
  '[sig-node] ConfigMap should update ConfigMap successfully [Conformance] [NodeConformance]',
  async ({ api, ns }) => {
    const created = await api.post(ns('configmaps'), configMap('update', { data: { key: 'one' } }))
    await api.put(ns('configmaps/update'), { ...created, data: { key: 'two' } })
    assert.deepEqual((await api.get(ns('configmaps/update')))['data'], { key: 'two' })
  },
)

mirror(
  '[sig-node] Secrets should fail to create secret due to empty secret key [Conformance]',
  async ({ api, ns }) => {
    const answer = await api.call('POST', ns('secrets'), {
      body: {
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { name: 'empty-key' },
        data: { '': 'dmFsdWUK' },
      },
    })
    assert.equal(answer.status, 422)
  },
)

mirror('[sig-node] Secrets should patch a secret [Conformance]', async ({ api, ns, namespace }) => {
  await api.post(ns('secrets'), {
    apiVersion: 'v1',
    kind: 'Secret',
    type: 'Opaque',
    data: { key: 'dmFsdWU=' },
    metadata: { name: 'patched', labels: { testsecret: 'true', 'testsecret-constant': 'true' } },
  })
  const listed = await api.get('/api/v1/secrets', { labelSelector: 'testsecret-constant=true' })
  assert.ok(
    listed['items'].some(
      (s: { metadata: { namespace: string } }) => s.metadata.namespace === namespace,
    ),
  )
  await api.patch(
    ns('secrets/patched'),
    { metadata: { labels: { testsecret: 'false' } }, data: { key: 'dmFsdWUx' } },
    'strategic-merge',
  )
  const patched = await api.get(ns('secrets/patched'))
  assert.equal(patched['metadata'].labels.testsecret, 'false')
  assert.equal(patched['data'].key, 'dmFsdWUx')
  await api.delete(ns('secrets'), undefined, { labelSelector: 'testsecret=false' })
  assert.equal(
    (await api.get(ns('secrets'), { labelSelector: 'testsecret-constant=true' }))['items'].length,
    0,
  )
})
