import assert from 'node:assert/strict'
import { test } from 'node:test'
import { definitionsFor, parseRuntimeConfig } from '#api'
import type { ConfigMap, Deployment, Namespace, Pod, Service } from '#api'
import type { Transport } from '#client'
import { StatusError, type JsonObject, type StatusReason } from '#machinery'
import { send, testServer, watchLines } from './server.testing.ts'

const PODS = '/api/v1/namespaces/shop/pods'
const MAPS = '/api/v1/namespaces/shop/configmaps'
const DEPLOYMENTS = '/apis/apps/v1/namespaces/shop/deployments'
const pod = (name: string, more: JsonObject = {}): JsonObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, ...(more['metadata'] as object) },
  spec: { containers: [{ name: 'main', image: 'web:1' }], ...(more['spec'] as object) },
})
const map = (name: string, data: Record<string, string> = {}, metadata: object = {}) => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, ...metadata },
  data,
})
const deployment = (name: string): JsonObject => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name },
  spec: {
    replicas: 2,
    selector: { matchLabels: { app: name } },
    template: {
      metadata: { labels: { app: name } },
      spec: { containers: [{ name: 'main', image: 'web:1' }] },
    },
  },
})

const post = async <T>(api: Transport, path: string, body: unknown, query = {}): Promise<T> =>
  (await api.request({ method: 'POST', path, body, query })) as T
const get = async <T>(api: Transport, path: string): Promise<T> =>
  (await api.request({ method: 'GET', path })) as T
const put = async <T>(api: Transport, path: string, body: unknown, query = {}): Promise<T> =>
  (await api.request({ method: 'PUT', path, body, query })) as T
const patch = async <T>(
  api: Transport,
  path: string,
  type: 'json-patch+json' | 'merge-patch+json' | 'strategic-merge-patch+json' | 'apply-patch+yaml',
  body: unknown,
  query = {},
): Promise<T> =>
  (await api.request({
    method: 'PATCH',
    path,
    body,
    query,
    contentType: `application/${type}`,
  })) as T
const remove = async <T>(api: Transport, path: string, body?: unknown, query = {}): Promise<T> =>
  (await api.request({ method: 'DELETE', path, body, query })) as T

const refused =
  (reason: StatusReason, message?: RegExp) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof StatusError, String(error))
    assert.equal(error.reason, reason, error.message)
    if (message !== undefined) assert.match(error.message, message)
    return true
  }

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

test('a table of a scale has its own columns', async () => {
  const { api, server } = await testServer()
  await post(api, DEPLOYMENTS, deployment('web'))
  const { json } = await send(server, `GET ${DEPLOYMENTS}/web/scale`, undefined, {
    accept: 'application/json;as=Table;v=v1;g=meta.k8s.io',
  })
  const { kind, columnDefinitions, rows } = json as {
    kind: string
    columnDefinitions: readonly { name: string }[]
    rows: readonly { cells: readonly unknown[] }[]
  }
  assert.equal(kind, 'Table')
  assert.deepEqual(
    columnDefinitions.map(({ name }) => name),
    ['Name', 'Desired', 'Available', 'Age'],
  )
  assert.deepEqual(
    rows.map(({ cells }) => cells),
    [['web', 2, 0, '0s']],
  )
})

test('spec and status are written by their own endpoints only', async () => {
  const { api } = await testServer()
  await post(api, DEPLOYMENTS, deployment('web'))
  const path = `${DEPLOYMENTS}/web`
  const change = { spec: { replicas: 9 }, status: { replicas: 4 } }
  const main = await patch<Deployment>(api, path, 'merge-patch+json', change)
  assert.equal(main.spec?.replicas, 9)
  assert.equal(main.status?.replicas, undefined)
  const status = await patch<Deployment>(api, `${path}/status`, 'merge-patch+json', {
    spec: { replicas: 1 },
    status: { replicas: 4 },
  })
  assert.equal(status.spec?.replicas, 9)
  assert.equal(status.status?.replicas, 4)
})

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

test('a pod is bound once', async () => {
  const { api } = await testServer()
  await post(api, PODS, pod('web'))
  const bind = (node: string) =>
    post(api, `${PODS}/web/binding`, { target: { kind: 'Node', name: node } })
  await bind('n1')
  const bound = await get<Pod>(api, `${PODS}/web`)
  assert.equal(bound.spec?.nodeName, 'n1')
  assert.equal(bound.metadata.generation, 1)
  assert.equal(
    bound.status?.conditions?.find(({ type }) => type === 'PodScheduled')?.status,
    'True',
  )
  await assert.rejects(bind('n2'), refused('Conflict', /pod web is already assigned to node "n1"$/))
})

test('scale reads and writes the number of replicas', async () => {
  const { api } = await testServer()
  await post(api, DEPLOYMENTS, deployment('web'))
  const path = `${DEPLOYMENTS}/web/scale`
  const scale = await get<{ spec: { replicas: number }; status: { selector: string } }>(api, path)
  assert.equal(scale.spec.replicas, 2)
  assert.equal(scale.status.selector, 'app=web')
  await put(api, path, { metadata: { name: 'web' }, spec: { replicas: 6 } })
  await patch(api, path, 'merge-patch+json', { spec: { replicas: 7 } })
  const now = await get<Deployment>(api, `${DEPLOYMENTS}/web`)
  assert.equal(now.spec?.replicas, 7)
  assert.equal(now.metadata.generation, 3)
  await assert.rejects(
    put(api, path, { metadata: { name: 'web' }, spec: { replicas: -1 } }),
    refused('Invalid', /must be greater than or equal to 0/),
  )
})

test('an eviction asks the budget, and spends it', async () => {
  const { api } = await testServer()
  const pdbs = '/apis/policy/v1/namespaces/shop/poddisruptionbudgets'
  for (const name of ['a', 'b']) {
    await post(api, PODS, pod(name, { metadata: { labels: { app: 'web' } } }))
    await patch(api, `${PODS}/${name}/status`, 'merge-patch+json', {
      status: { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] },
    })
  }
  await post(api, pdbs, {
    metadata: { name: 'web' },
    spec: { minAvailable: 1, selector: { matchLabels: { app: 'web' } } },
  })
  await patch(api, `${pdbs}/web/status`, 'merge-patch+json', {
    status: {
      observedGeneration: 1,
      disruptionsAllowed: 1,
      currentHealthy: 2,
      desiredHealthy: 1,
      expectedPods: 2,
    },
  })
  const evict = (name: string, apiVersion = 'policy/v1', called = name) =>
    post(api, `${PODS}/${name}/eviction`, {
      apiVersion,
      kind: 'Eviction',
      metadata: { name: called },
      deleteOptions: {},
    })
  await assert.rejects(evict('a', 'policy/v2'), refused('BadRequest'))
  await assert.rejects(evict('a', 'policy/v1', ''), refused('BadRequest', /name in URL/))
  await evict('a', 'policy/v1beta1')
  await assert.rejects(get(api, `${PODS}/a`), refused('NotFound'))
  await assert.rejects(evict('b'), (error) => {
    assert.ok(error instanceof StatusError)
    assert.equal(error.code, 429)
    assert.equal(error.status.details?.causes?.[0]?.reason, 'DisruptionBudget')
    return true
  })
  await post(api, pdbs, {
    metadata: { name: 'other' },
    spec: { maxUnavailable: 1, selector: { matchLabels: { app: 'web' } } },
  })
  await assert.rejects(evict('b'), (error) => {
    assert.ok(error instanceof StatusError)
    assert.deepEqual([error.code, error.reason], [500, ''])
    assert.match(error.message, /^This pod has more than one PodDisruptionBudget/)
    return true
  })
})

test('evictions at the same time all spend from one budget', async () => {
  const { api } = await testServer()
  const names = Array.from({ length: 12 }, (_, i) => `p${i}`)
  for (const name of names) {
    await post(api, PODS, pod(name, { metadata: { labels: { app: 'web' } } }))
    await patch(api, `${PODS}/${name}/status`, 'merge-patch+json', { status: { phase: 'Running' } })
  }
  const budget = '/apis/policy/v1/namespaces/shop/poddisruptionbudgets'
  const selector = { matchLabels: { app: 'web' } }
  await post(api, budget, { metadata: { name: 'web' }, spec: { minAvailable: 0, selector } })
  const status = { observedGeneration: 1, disruptionsAllowed: 12, expectedPods: 12 }
  await patch(api, `${budget}/web/status`, 'merge-patch+json', { status })
  const evict = (name: string): Promise<unknown> =>
    post(api, `${PODS}/${name}/eviction`, { metadata: { name } })
  await Promise.all(names.map(evict))
  const left = await get<{ status: JsonObject }>(api, `${budget}/web`)
  assert.equal(left.status['disruptionsAllowed'], 0)
})

test('services get an address of their own, which comes back when they go', async () => {
  const { api } = await testServer({ serviceRange: '10.0.0.0/28' })
  const path = '/api/v1/namespaces/shop/services'
  const service = (name: string, spec: object = {}) => ({
    metadata: { name },
    spec: { ports: [{ port: 80 }], ...spec },
  })
  const taken = new Set<string>()
  for (let i = 0; i < 14; i++) {
    const made = await post<Service>(api, path, service(`s${i}`))
    taken.add(made.spec?.clusterIP ?? '')
    assert.deepEqual(made.spec?.clusterIPs, [made.spec?.clusterIP])
  }
  assert.equal(taken.size, 14)
  await assert.rejects(post(api, path, service('full')), refused('InternalError', /range is full/))
  const first = await get<Service>(api, `${path}/s0`)
  await assert.rejects(
    post(api, path, service('x', { clusterIP: first.spec?.clusterIP })),
    refused('Invalid', /provided IP is already allocated/),
  )
  await remove(api, `${path}/s0`)
  const again = await post<Service>(api, path, service('x', { clusterIP: first.spec?.clusterIP }))
  assert.equal(again.spec?.clusterIP, first.spec?.clusterIP)
  await assert.rejects(
    post(api, path, service('y', { clusterIP: '192.168.0.1' })),
    refused('Invalid', /not in the valid range/),
  )
})

test('node ports are given, kept over updates, refused twice, and given back', async () => {
  const { api } = await testServer()
  const path = '/api/v1/namespaces/shop/services'
  const made = await post<Service>(api, path, {
    metadata: { name: 'a' },
    spec: { type: 'NodePort', ports: [{ port: 80 }] },
  })
  const nodePort = made.spec?.ports?.[0]?.nodePort ?? 0
  assert.ok(nodePort >= 30_000 && nodePort <= 32_767)
  const updated = await put<Service>(api, `${path}/a`, {
    metadata: { name: 'a' },
    spec: { type: 'NodePort', ports: [{ port: 80 }], selector: { a: 'b' } },
  })
  assert.equal(updated.spec?.ports?.[0]?.nodePort, nodePort)
  assert.equal(updated.spec?.clusterIP, made.spec?.clusterIP)
  const twin = {
    metadata: { name: 'b' },
    spec: { type: 'NodePort', ports: [{ port: 1, nodePort }] },
  }
  await assert.rejects(
    post(api, path, twin),
    refused(
      'Invalid',
      /spec\.ports\[0\]\.nodePort: Invalid value: \d+: provided port is already allocated/,
    ),
  )
  await put(api, `${path}/a`, {
    metadata: { name: 'a' },
    spec: { type: 'ClusterIP', ports: [{ port: 80 }] },
  })
  assert.equal((await post<Service>(api, path, twin)).spec?.ports?.[0]?.nodePort, nodePort)
})

test('addresses in use are known again after a start', async () => {
  const first = await testServer()
  const path = '/api/v1/namespaces/shop/services'
  const made = await post<Service>(first.api, path, {
    metadata: { name: 'a' },
    spec: { ports: [{ port: 80 }] },
  })
  const second = await testServer({ storage: first.storage })
  await assert.rejects(
    post(second.api, path, {
      metadata: { name: 'b' },
      spec: { clusterIP: made.spec?.clusterIP, ports: [{ port: 80 }] },
    }),
    refused('Invalid', /already allocated/),
  )
})

test('events of one group are seen in the other', async () => {
  const { api } = await testServer()
  await post(api, '/apis/events.k8s.io/v1/namespaces/shop/events', {
    metadata: { name: 'e' },
    eventTime: '2026-01-01T00:00:00.000000Z',
    reportingController: 'example.com/c',
    reportingInstance: 'i',
    action: 'Did',
    reason: 'Because',
    type: 'Normal',
    regarding: { kind: 'Pod', name: 'web', namespace: 'shop' },
    note: 'something',
  })
  const old = await get<{ message: string; involvedObject: { name: string } }>(
    api,
    '/api/v1/namespaces/shop/events/e',
  )
  assert.equal(old.message, 'something')
  assert.equal(old.involvedObject.name, 'web')
  const found = await api.request({
    method: 'GET',
    path: '/apis/events.k8s.io/v1/namespaces/shop/events',
    query: { fieldSelector: 'regarding.name=web' },
  })
  assert.equal((found as { items: readonly unknown[] }).items.length, 1)
})

test('events are forgotten an hour after they were written', async () => {
  const { api, env } = await testServer()
  const path = '/api/v1/namespaces/shop/events'
  await post(api, path, {
    metadata: { name: 'e', namespace: 'shop' },
    involvedObject: { kind: 'Pod', name: 'web', namespace: 'shop' },
    reason: 'Because',
  })
  await env.settle()
  await env.advance(50 * 60_000)
  await get(api, `${path}/e`)
  await env.advance(15 * 60_000)
  await assert.rejects(get(api, `${path}/e`), refused('NotFound'))
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

test('a resize and an ephemeral container are a new generation of the pod', async () => {
  const { api } = await testServer()
  const resources = { requests: { cpu: '10m' }, limits: { cpu: '20m' } }
  const containers = [{ name: 'main', image: 'web:1', resources }]
  await post(api, PODS, pod('web', { spec: { containers } }))
  const resized = await patch<Pod>(api, `${PODS}/web/resize`, 'strategic-merge-patch+json', {
    spec: { containers: [{ name: 'main', resources: { requests: { cpu: '15m' } } }] },
  })
  assert.equal(resized.spec.containers[0]?.resources?.requests?.['cpu'], '15m')
  assert.equal(resized.metadata.generation, 2)
  const debugged = await patch<Pod>(
    api,
    `${PODS}/web/ephemeralcontainers`,
    'strategic-merge-patch+json',
    { spec: { ephemeralContainers: [{ name: 'debug', image: 'tools:1' }] } },
  )
  assert.equal(debugged.metadata.generation, 3)
})
