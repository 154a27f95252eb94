import assert from 'node:assert/strict'
import { test } from 'node:test'
import { definitionsFor, parseRuntimeConfig, type ConfigMap, type Namespace, type Pod } from '#api'
import { StatusError, type JsonObject } from '#machinery'
import { send, testServer, watchLines } from '../server.testing.ts'
import { MAPS, PODS, get, map, pod, post, put, refused, remove } from '../verbs.testing.ts'

test('a new object gets its uid, time, revision, generation and defaults', async () => {
  const { api } = await testServer()
  const made = await post<Pod>(api, PODS, pod('web'))
  assert.match(made.metadata.uid, /^[0-9a-f-]{36}$/)
  assert.equal(made.metadata.creationTimestamp, '2026-01-01T00:00:00Z')
  assert.equal(made.metadata.namespace, 'shop')
  assert.equal(made.metadata.generation, 1)
  assert.match(made.metadata.resourceVersion, /^\d+$/)
  assert.equal(made.spec?.restartPolicy, 'Always')
  assert.equal(made.status?.phase, 'Pending')
  assert.deepEqual(await get(api, `${PODS}/web`), made)
})

test('what only the server says is not taken from a client', async () => {
  const { api } = await testServer()
  const made = await post<Pod>(api, PODS, {
    ...pod('web', { metadata: { uid: 'mine', generation: 7, deletionTimestamp: 't' } }),
    status: { phase: 'Running' },
  })
  assert.notEqual(made.metadata.uid, 'mine')
  assert.equal(made.metadata.generation, 1)
  assert.equal(made.metadata.deletionTimestamp, undefined)
  assert.equal(made.status?.phase, 'Pending')
  const old = pod('other', { metadata: { resourceVersion: '5' } })
  await assert.rejects(post(api, PODS, old), (error: unknown) => {
    assert.ok(error instanceof StatusError)
    assert.equal(error.status.code, 500)
    assert.equal(error.reason, '')
    assert.equal(error.message, 'resourceVersion should not be set on objects to be created')
    return true
  })
  // Nothing is stored, so nothing is in the way; what is wrong otherwise is told first.
  await post(api, PODS, old, { dryRun: 'All' })
  await assert.rejects(post(api, PODS, { ...old, spec: { containers: [] } }), refused('Invalid'))
})

test('a name that is taken is 409, and a generated one is found anew', async () => {
  const { api } = await testServer()
  await post(api, MAPS, map('a'))
  await assert.rejects(
    post(api, MAPS, map('a')),
    refused('AlreadyExists', /^configmaps "a" already exists$/),
  )
  const names = new Set<string>()
  for (let i = 0; i < 20; i++) {
    const made = await post<ConfigMap>(api, MAPS, { metadata: { generateName: 'gen-' } })
    assert.match(made.metadata.name, /^gen-[a-z0-9]{5}$/)
    names.add(made.metadata.name)
  }
  assert.equal(names.size, 20)
  const space = await post<Namespace>(api, '/api/v1/namespaces', {
    metadata: { generateName: 'n-' },
  })
  assert.equal(space.metadata.labels?.['kubernetes.io/metadata.name'], space.metadata.name)
})

test('a namespace in the body must be that of the path', async () => {
  const { api } = await testServer()
  await assert.rejects(
    post(api, MAPS, map('a', {}, { namespace: 'other' })),
    refused('BadRequest', /does not match the namespace sent on the request/),
  )
})

test('what is in no namespace forgets one that a client says', async () => {
  const { api } = await testServer()
  const space = await post<Namespace>(api, '/api/v1/namespaces', {
    metadata: { name: 'n', namespace: 'other' },
  })
  assert.equal(space.metadata.namespace, undefined)
})

test('a body of another kind or version is refused', async () => {
  const { api } = await testServer()
  await post(api, MAPS, { ...map('nameless'), apiVersion: '/v1' })
  await assert.rejects(post(api, MAPS, { ...map('a'), kind: 'Secret' }), refused('BadRequest'))
  await assert.rejects(
    post(api, MAPS, { ...map('a'), apiVersion: 'v2' }),
    refused('BadRequest', /does not match the expected API version \(v1\)/),
  )
})

test('an invalid object is 422 with a cause for each field', async () => {
  const { api } = await testServer()
  await assert.rejects(post(api, PODS, { metadata: { name: 'Bad_Name' }, spec: {} }), (error) => {
    assert.ok(error instanceof StatusError)
    assert.equal(error.code, 422)
    const fields = error.status.details?.causes?.map(({ field }) => field) ?? []
    assert.ok(fields.includes('metadata.name'))
    assert.ok(fields.includes('spec.containers'))
    return true
  })
})

test('a dry run says what would be, and stores nothing', async () => {
  const { api } = await testServer()
  const made = await post<ConfigMap>(api, MAPS, map('a'), { dryRun: 'All' })
  assert.match(made.metadata.uid, /-/)
  await assert.rejects(get(api, `${MAPS}/a`), refused('NotFound', /^configmaps "a" not found$/))
  await post(api, MAPS, map('b', { x: '1' }))
  await put(api, `${MAPS}/b`, map('b', { x: '2' }), { dryRun: 'All' })
  await remove(api, `${MAPS}/b`, undefined, { dryRun: 'All' })
  assert.deepEqual((await get<ConfigMap>(api, `${MAPS}/b`)).data, { x: '1' })
  await assert.rejects(
    post(api, MAPS, map('c'), { dryRun: 'Some' }),
    refused('Invalid', /dryRun: Unsupported value: \["Some"\]: supported values: "All"/),
  )
})

test('what is empty shows as Go shows it: written, read, listed, watched, and where a patch looks for it', async () => {
  const { server } = await testServer()
  const path = '/apis/rbac.authorization.k8s.io/v1/clusterroles'
  const made = await send(server, `POST ${path}`, { metadata: { name: 'a' }, rules: [] })
  assert.equal(made.json['rules'], null)
  const [item] = (await send(server, `GET ${path}`)).json['items'] as JsonObject[]
  const [event] = await watchLines(server, `${path}?watch=1`, 1)
  for (const shown of [(await send(server, `GET ${path}/a`)).json, item, event?.object])
    assert.equal(shown?.['rules'], null)
  const dry = await send(server, `POST ${path}?dryRun=All`, { metadata: { name: 'b' } })
  assert.equal(dry.json['rules'], null)
  const type = { 'content-type': 'application/json-patch+json' }
  const rules = [{ apiGroups: [''], resources: ['pods'], verbs: ['get'] }]
  const test = { op: 'test', path: '/rules', value: null }
  const add = { op: 'add', path: '/rules/-', value: rules[0] }
  assert.equal((await send(server, `PATCH ${path}/a`, [test, add], type)).status, 422)
  const replace = { op: 'replace', path: '/rules', value: rules }
  const patched = await send(server, `PATCH ${path}/a`, [test, replace], type)
  assert.deepEqual(patched.json['rules'], rules)
})

test('an object made in a version that is not stored has its identity too', async () => {
  const { api, server } = await testServer({
    definitions: definitionsFor(parseRuntimeConfig(['networking.k8s.io/v1beta1=true'])),
  })
  const path = '/apis/networking.k8s.io/v1beta1/ipaddresses'
  const parentRef = { resource: 'services', namespace: 'shop', name: 'web' }
  const body = { metadata: { name: '10.0.0.9' }, spec: { parentRef } }
  const { metadata } = await post<ConfigMap>(api, path, body)
  assert.match(metadata.uid, /^[0-9a-f-]{36}$/)
  assert.equal(metadata.creationTimestamp, '2026-01-01T00:00:00Z')
  const stable = await send(server, 'GET /apis/networking.k8s.io/v1/ipaddresses/10.0.0.9')
  assert.equal((stable.json['metadata'] as ConfigMap['metadata']).uid, metadata.uid)
})
