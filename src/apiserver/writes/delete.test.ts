import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ConfigMap, Namespace, Pod } from '#api'
import type { JsonObject } from '#machinery'
import { send, testServer } from '../server.testing.ts'
import { MAPS, PODS, get, map, patch, pod, post, put, refused, remove } from '../verbs.testing.ts'

test('delete answers as its kind does, honours preconditions, and is 404 the second time', async () => {
  const { api } = await testServer()
  const made = await post<ConfigMap>(api, MAPS, map('a'))
  await assert.rejects(
    remove(api, `${MAPS}/a`, { preconditions: { uid: 'other' } }),
    refused('Conflict', /the UID in the precondition \(other\) does not match the UID in record/),
  )
  await assert.rejects(
    remove(api, `${MAPS}/a`, { preconditions: { resourceVersion: '1' } }),
    refused('Conflict'),
  )
  const status = await remove<JsonObject>(api, `${MAPS}/a`)
  assert.deepEqual(status, {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Success',
    details: { name: 'a', kind: 'configmaps', uid: made.metadata.uid },
  })
  await assert.rejects(remove(api, `${MAPS}/a`), refused('NotFound'))
  await post(api, PODS, pod('p'))
  const gone = await remove<Pod>(api, `${PODS}/p`, { gracePeriodSeconds: 0 })
  assert.equal(gone.kind, 'Pod')
})

test('a running pod is given its grace, which can be shortened and not lengthened', async () => {
  const { api } = await testServer()
  await post(api, PODS, pod('web', { spec: { nodeName: 'n1' } }))
  const going = await remove<Pod>(api, `${PODS}/web`)
  assert.equal(going.metadata.deletionGracePeriodSeconds, 30)
  assert.equal(going.metadata.deletionTimestamp, '2026-01-01T00:00:30Z')
  const later = await remove<Pod>(api, `${PODS}/web`, { gracePeriodSeconds: 60 })
  assert.equal(later.metadata.deletionGracePeriodSeconds, 30)
  const sooner = await remove<Pod>(api, `${PODS}/web`, { gracePeriodSeconds: 5 })
  assert.equal(sooner.metadata.deletionTimestamp, '2026-01-01T00:00:05Z')
  await remove(api, `${PODS}/web`, { gracePeriodSeconds: 0 })
  await assert.rejects(get(api, `${PODS}/web`), refused('NotFound'))
})

test('finalizers hold an object back until the last is taken away', async () => {
  const { api } = await testServer()
  await post(api, MAPS, map('a', {}, { finalizers: ['example.com/wait'] }))
  const going = await remove<ConfigMap>(api, `${MAPS}/a`)
  assert.equal(going.metadata.deletionTimestamp, '2026-01-01T00:00:00Z')
  assert.equal((await remove<ConfigMap>(api, `${MAPS}/a`)).kind, 'ConfigMap')
  await assert.rejects(
    patch(api, `${MAPS}/a`, 'merge-patch+json', {
      metadata: { finalizers: ['example.com/wait', 'example.com/more'] },
    }),
    refused('Invalid', /no new finalizers can be added if the object is being deleted/),
  )
  await patch(api, `${MAPS}/a`, 'merge-patch+json', { metadata: { finalizers: null } })
  await assert.rejects(get(api, `${MAPS}/a`), refused('NotFound'))
})

test('a delete that has to wait is 202 for who says orphanDependents: false', async () => {
  const { api, server } = await testServer()
  await post(api, MAPS, map('a', {}, { finalizers: ['example.com/wait'] }))
  await post(api, MAPS, map('b'))
  const statusOf = async (name: string, body?: object): Promise<number> =>
    (await send(server, `DELETE ${MAPS}/${name}`, body)).status
  assert.equal(await statusOf('a'), 200)
  assert.equal(await statusOf('a', { orphanDependents: false }), 202)
  assert.equal(await statusOf('b', { orphanDependents: false }), 200)
})

test('what happens to the dependents is written down as a finalizer', async () => {
  const { api } = await testServer()
  const finalizersAfter = async (name: string, body: object): Promise<readonly string[]> => {
    await post(api, MAPS, map(name))
    return (await remove<ConfigMap>(api, `${MAPS}/${name}`, body)).metadata.finalizers ?? []
  }
  assert.deepEqual(await finalizersAfter('a', { propagationPolicy: 'Orphan' }), ['orphan'])
  assert.deepEqual(await finalizersAfter('b', { propagationPolicy: 'Foreground' }), [
    'foregroundDeletion',
  ])
  assert.deepEqual(await finalizersAfter('c', { orphanDependents: true }), ['orphan'])
  await assert.rejects(
    finalizersAfter('d', { propagationPolicy: 'Orphan', orphanDependents: true }),
    refused('Invalid', /cannot be both set/),
  )
})

test('deletecollection deletes what the selector names and nothing else', async () => {
  const { api } = await testServer()
  for (const name of ['a', 'b', 'c'])
    await post(api, MAPS, map(name, {}, { labels: { keep: name === 'b' ? 'yes' : 'no' } }))
  const list = await remove<{ kind: string; items: readonly ConfigMap[] }>(api, MAPS, undefined, {
    labelSelector: 'keep=no',
  })
  assert.equal(list.kind, 'ConfigMapList')
  assert.equal(list.items.length, 2)
  const left = await get<{ items: readonly ConfigMap[] }>(api, MAPS)
  assert.deepEqual(
    left.items.map(({ metadata }) => metadata.name),
    ['b'],
  )
})

test('a namespace goes in two phases', async () => {
  const { api } = await testServer()
  await post(api, '/api/v1/namespaces', { metadata: { name: 'shop' } })
  const path = '/api/v1/namespaces/shop'
  const going = await remove<Namespace>(api, path)
  assert.equal(going.status?.phase, 'Terminating')
  const live = await get<Namespace>(api, path)
  await put(api, `${path}/finalize`, { ...live, spec: { finalizers: [] } })
  await assert.rejects(get(api, path), refused('NotFound'))
})
