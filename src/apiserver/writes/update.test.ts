import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ConfigMap, Deployment } from '#api'
import type { JsonObject } from '#machinery'
import { send, testServer } from '../server.testing.ts'
import {
  DEPLOYMENTS,
  MAPS,
  deployment,
  get,
  map,
  patch,
  post,
  put,
  refused,
} from '../verbs.testing.ts'

test('an update replaces the version that it names, and no other', async () => {
  const { api } = await testServer()
  const first = await post<ConfigMap>(api, MAPS, map('a', { x: '1' }))
  const { resourceVersion } = first.metadata
  const second = await put<ConfigMap>(api, `${MAPS}/a`, map('a', { x: '2' }, { resourceVersion }))
  assert.ok(Number(second.metadata.resourceVersion) > Number(resourceVersion))
  assert.equal(second.metadata.uid, first.metadata.uid)
  await assert.rejects(
    put(api, `${MAPS}/a`, map('a', { x: '3' }, { resourceVersion })),
    refused(
      'Conflict',
      /^Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes to the latest version and try again$/,
    ),
  )
  const third = await put<ConfigMap>(api, `${MAPS}/a`, map('a', { x: '3' }))
  assert.deepEqual(third.data, { x: '3' })
  await assert.rejects(put(api, `${MAPS}/b`, map('b')), refused('NotFound'))
  await assert.rejects(
    put(api, `${MAPS}/a`, map('b')),
    refused('BadRequest', /does not match the name on the URL/),
  )
})

test('kinds that may be created by an update are, and leases must name their version', async () => {
  const { api } = await testServer()
  const path = '/apis/coordination.k8s.io/v1/namespaces/shop/leases/l'
  const lease = { metadata: { name: 'l' }, spec: { holderIdentity: 'a' } }
  const made = await put<{ metadata: { resourceVersion: string } }>(api, path, lease)
  assert.match(made.metadata.resourceVersion, /\d/)
  await assert.rejects(
    put(api, path, { ...lease, spec: { holderIdentity: 'b' } }),
    refused(
      'Invalid',
      /metadata\.resourceVersion: Invalid value: 0: must be specified for an update/,
    ),
  )
})

test('an update that changes nothing writes nothing', async () => {
  const { api, storage } = await testServer()
  const made = await post<ConfigMap>(api, MAPS, map('a', { x: '1' }))
  const before = storage.revisions().current
  // The same with its fields in another order.
  const { kind, apiVersion, metadata, data } = made
  const again = await put<ConfigMap>(api, `${MAPS}/a`, { data, metadata, kind, apiVersion })
  await patch(api, `${MAPS}/a`, 'merge-patch+json', { data: { x: '1' } })
  assert.equal(again.metadata.resourceVersion, made.metadata.resourceVersion)
  assert.equal(storage.revisions().current, before)
})

test('generation counts changes of the spec and nothing else', async () => {
  const { api } = await testServer()
  const generation = async (): Promise<number | undefined> =>
    (await get<Deployment>(api, `${DEPLOYMENTS}/web`)).metadata.generation
  await post(api, DEPLOYMENTS, deployment('web'))
  const path = `${DEPLOYMENTS}/web`
  await patch(api, path, 'merge-patch+json', { metadata: { labels: { a: 'b' } } })
  assert.equal(await generation(), 1)
  await patch(api, path, 'merge-patch+json', { spec: { replicas: 3 } })
  assert.equal(await generation(), 2)
  await patch(api, `${path}/status`, 'merge-patch+json', { status: { replicas: 3 } })
  assert.equal(await generation(), 2)
})

test('annotations of a deployment are a new generation, unless its status brings them', async () => {
  const { api } = await testServer()
  await post(api, DEPLOYMENTS, deployment('web'))
  const path = `${DEPLOYMENTS}/web`
  const annotated = async (at: string, value: string): Promise<Deployment> =>
    patch(api, at, 'merge-patch+json', { metadata: { annotations: { a: value } } })
  const { metadata } = await annotated(`${path}/status`, 'one')
  assert.deepEqual([metadata.annotations, metadata.generation], [{ a: 'one' }, 1])
  assert.equal((await annotated(path, 'two')).metadata.generation, 2)
})

test('an update of revision 0 is for whatever is there', async () => {
  const { api } = await testServer()
  await post(api, MAPS, map('a', { x: '1' }))
  const changed = await put<ConfigMap>(
    api,
    `${MAPS}/a`,
    map('a', { x: '2' }, { resourceVersion: '0' }),
  )
  assert.deepEqual(changed.data, { x: '2' })
  assert.notEqual(changed.metadata.resourceVersion, '0')
  await assert.rejects(
    put(api, `${MAPS}/a`, map('a', {}, { resourceVersion: '1' })),
    refused('Conflict'),
  )
})

test('writers at the same time each have their say', async () => {
  const { api } = await testServer()
  await post(api, MAPS, map('a'))
  await Promise.all(
    Array.from({ length: 5 }, (_, i) =>
      patch(api, `${MAPS}/a`, 'merge-patch+json', { data: { [`k${i}`]: 'v' } }),
    ),
  )
  const { data } = await get<ConfigMap>(api, `${MAPS}/a`)
  assert.equal(Object.keys(data ?? {}).length, 5)
})

test('an empty list of managers, or an empty one, has them forgotten', async () => {
  const { server } = await testServer()
  const apply = { 'content-type': 'application/apply-patch+yaml' }
  for (const managedFields of [[], [{}]]) {
    const object = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'a' },
      data: { a: 'b' },
    }
    const made = await send(server, `PATCH ${MAPS}/a?fieldManager=me&force=true`, object, apply)
    assert.notEqual((made.json['metadata'] as JsonObject)['managedFields'], undefined)
    const put = await send(server, `PUT ${MAPS}/a`, map('a', { a: 'b' }, { managedFields }))
    assert.equal(put.status, 200)
    assert.equal((put.json['metadata'] as JsonObject)['managedFields'], undefined)
  }
})

test('owners that are there twice are kept once, and their sender is told', async () => {
  const { server } = await testServer()
  const owner = { apiVersion: 'v1', kind: 'ConfigMap', name: 'o', uid: 'u-1' }
  const other = { ...owner, name: 'other' }
  const owners = [owner, owner, other]
  const headers = { 'content-type': 'application/json-patch+json' }
  const made = await send(server, `POST ${MAPS}`, map('a', {}, { ownerReferences: owners }))
  const put = await send(server, `PUT ${MAPS}/a`, map('a', {}, { ownerReferences: owners }))
  const add = [{ op: 'add', path: '/metadata/ownerReferences/-', value: owner }]
  const patched = await send(server, `PATCH ${MAPS}/a`, add, headers)
  for (const { json, headers: said } of [made, put, patched]) {
    const { ownerReferences } = json['metadata'] as ConfigMap['metadata']
    assert.deepEqual(ownerReferences, [owner, other])
    assert.match(String(said['warning']), /ownerReferences contains duplicate entries.*: u-1"$/)
  }
  assert.match(String(patched.headers['warning']), /entries after mutating admission happens;/)
})
