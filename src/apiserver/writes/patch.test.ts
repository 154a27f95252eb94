import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ConfigMap, Deployment } from '#api'
import { StatusError, type JsonObject } from '#machinery'
import { send, testServer } from '../server.testing.ts'
import { DEPLOYMENTS, MAPS, deployment, get, map, patch, post, refused } from '../verbs.testing.ts'

test('the four kinds of patch do what each is for', async () => {
  const { api } = await testServer()
  await post(api, DEPLOYMENTS, deployment('web'))
  const path = `${DEPLOYMENTS}/web`
  const strategic = await patch<Deployment>(api, path, 'strategic-merge-patch+json', {
    spec: { template: { spec: { containers: [{ name: 'side', image: 'side:1' }] } } },
  })
  assert.deepEqual(strategic.spec?.template?.spec?.containers?.map(({ name }) => name).toSorted(), [
    'main',
    'side',
  ])
  const json = await patch<Deployment>(api, path, 'json-patch+json', [
    { op: 'test', path: '/spec/replicas', value: 2 },
    { op: 'replace', path: '/spec/replicas', value: 5 },
  ])
  assert.equal(json.spec?.replicas, 5)
  await assert.rejects(
    patch(api, path, 'json-patch+json', [{ op: 'test', path: '/spec/replicas', value: 2 }]),
    refused('Invalid'),
  )
  const merge = await patch<Deployment>(api, path, 'merge-patch+json', {
    spec: { paused: true, template: { metadata: { annotations: { a: 'b' } } } },
  })
  assert.equal(merge.spec?.paused, true)
  await assert.rejects(
    patch(api, `${DEPLOYMENTS}/none`, 'merge-patch+json', {}),
    refused('NotFound'),
  )
})

test('a patch whose type is none of ours is 415 and names ours', async () => {
  const { server } = await testServer()
  const { status, json } = await send(server, `PATCH ${MAPS}/a`, {}, { 'content-type': 'text/css' })
  assert.equal(status, 415)
  assert.match(String(json['message']), /application\/apply-patch\+yaml/)
})

test('apply creates, owns, conflicts, and takes over by force', async () => {
  const { api } = await testServer()
  const path = `${MAPS}/a`
  const apply = (data: Record<string, string>, fieldManager: string, force?: string) =>
    patch<ConfigMap>(
      api,
      path,
      'apply-patch+yaml',
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a' }, data },
      { fieldManager, ...(force === undefined ? {} : { force }) },
    )
  await apply({ x: '1', y: '1' }, 'one')
  await assert.rejects(apply({ x: '2' }, 'two'), (error) => {
    assert.ok(error instanceof StatusError)
    assert.equal(error.code, 409)
    assert.equal(error.status.details?.causes?.[0]?.reason, 'FieldManagerConflict')
    return true
  })
  await apply({ x: '2' }, 'two', 'true')
  // What its manager no longer wants, and nobody else owns, goes.
  const last = await apply({}, 'one')
  assert.deepEqual(last.data, { x: '2' })
  await assert.rejects(
    patch(api, path, 'apply-patch+yaml', { apiVersion: 'v1', kind: 'ConfigMap' }),
    refused('Invalid', /fieldManager: Required value: is required for apply patch/),
  )
})

test('patches at the same time all find their place', async () => {
  const { api } = await testServer()
  await post(api, MAPS, map('a'))
  const names = Array.from({ length: 40 }, (_, i) => `k${i}`)
  await Promise.all(
    names.map((name) => patch(api, `${MAPS}/a`, 'merge-patch+json', { data: { [name]: 'x' } })),
  )
  const { data } = await get<ConfigMap>(api, `${MAPS}/a`)
  assert.equal(Object.keys(data ?? {}).length, 40)
})

test('a strict client is told of every unknown and duplicate field', async () => {
  const { server } = await testServer()
  const body =
    '{"metadata":{"name":"a"},"data":{},"data":{"x":"1"},"unknown":1,"immutable":false,"other":{}}'
  const strict = await send(server, `POST ${MAPS}?fieldValidation=Strict`, body)
  assert.equal(strict.status, 400)
  assert.match(
    String(strict.json['message']),
    /strict decoding error: unknown field "other", unknown field "unknown", duplicate field "data"$/,
  )
  const warn = await send(server, `POST ${MAPS}`, body)
  assert.equal(warn.status, 201)
  assert.deepEqual(warn.headers['warning'], [
    '299 - "unknown field \\"other\\""',
    '299 - "unknown field \\"unknown\\""',
    '299 - "duplicate field \\"data\\""',
  ])
  const ignore = await send(server, `PUT ${MAPS}/a?fieldValidation=Ignore`, body)
  assert.equal(ignore.status, 200)
  assert.equal(ignore.headers['warning'], undefined)
})

test('managedFields tell who wrote what, on every kind of write', async () => {
  const { server } = await testServer()
  await send(server, `POST ${MAPS}`, map('a', { x: '1' }), { 'user-agent': 'one/1.0 (linux)' })
  await send(
    server,
    `PATCH ${MAPS}/a?fieldManager=two`,
    { data: { y: '1' } },
    { 'content-type': 'application/merge-patch+json' },
  )
  const { json } = await send(server, `GET ${MAPS}/a`)
  const { managedFields } = json['metadata'] as { managedFields: readonly JsonObject[] }
  assert.deepEqual(
    managedFields.map(({ manager, operation }) => `${String(manager)} ${String(operation)}`),
    ['one Update', 'two Update'],
  )
})
