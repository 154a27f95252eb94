import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Transport } from '#client'
import { StatusError, type JsonObject, type KubeObject, type WatchEvent } from '#machinery'
import { send, testServer, watchLines, type TestServer } from '../server.testing.ts'

const MAPS = '/api/v1/namespaces/shop/configmaps'
const PODS = '/api/v1/namespaces/shop/pods'

const create = async (api: Transport, name: string, labels: object = {}): Promise<KubeObject> =>
  (await api.request({
    method: 'POST',
    path: MAPS,
    body: { metadata: { name, labels } },
  })) as KubeObject
const patch = (api: Transport, name: string, body: object): Promise<unknown> =>
  api.request({
    method: 'PATCH',
    path: `${MAPS}/${name}`,
    contentType: 'application/merge-patch+json',
    body,
  })

interface List {
  readonly metadata: {
    readonly resourceVersion: string
    readonly continue?: string
    readonly remainingItemCount?: number
  }
  readonly items: readonly KubeObject[]
}
const list = async (
  { server }: TestServer,
  query: Readonly<Record<string, string>> = {},
  path = MAPS,
): Promise<List> => {
  const { status, json } = await send(
    server,
    `GET ${path}?${new URLSearchParams(query).toString()}`,
  )
  if (status !== 200) throw StatusError.from(json as never)
  return json as unknown as List
}
const names = ({ items }: List): string[] => items.map(({ metadata }) => metadata.name)
const failsWith =
  (code: number, message?: RegExp) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof StatusError, String(error))
    assert.equal(error.code, code, error.message)
    if (message !== undefined) assert.match(error.message, message)
    return true
  }
const brief = (events: readonly { type: string; object: unknown }[]): string[] =>
  events.map(({ type, object }) => `${type} ${(object as KubeObject).metadata.name}`)

test('a list is in order, at the revision of the store, empty or not', async () => {
  const t = await testServer()
  const empty = await list(t)
  assert.equal(empty.metadata.resourceVersion, String(t.storage.revisions().current))
  for (const name of ['c', 'a', 'b']) await create(t.api, name)
  const full = await list(t)
  assert.deepEqual(names(full), ['a', 'b', 'c'])
  assert.equal(full.metadata.resourceVersion, String(t.storage.revisions().current))
  assert.equal(full.items[0]?.kind, undefined)
  assert.match(full.items[0]?.metadata.resourceVersion ?? '', /^\d+$/)
})

test('pages of one listing show one moment, and count what is left', async () => {
  const t = await testServer()
  for (let i = 0; i < 7; i++) await create(t.api, `m${i}`)
  const first = await list(t, { limit: '3' })
  assert.deepEqual(names(first), ['m0', 'm1', 'm2'])
  assert.equal(first.metadata.remainingItemCount, 4)
  // What happens meanwhile is not seen.
  await create(t.api, 'm3a')
  await t.api.request({ method: 'DELETE', path: `${MAPS}/m4` })
  const second = await list(t, { limit: '3', continue: first.metadata.continue ?? '' })
  assert.deepEqual(names(second), ['m3', 'm4', 'm5'])
  assert.equal(second.metadata.remainingItemCount, 1)
  assert.equal(second.metadata.resourceVersion, first.metadata.resourceVersion)
  const last = await list(t, { limit: '3', continue: second.metadata.continue ?? '' })
  assert.deepEqual(names(last), ['m6'])
  assert.equal(last.metadata.continue, undefined)
  assert.equal(last.metadata.remainingItemCount, undefined)
})

test('a limit with a selector goes on until nothing more is selected', async () => {
  const t = await testServer()
  for (let i = 0; i < 9; i++) await create(t.api, `m${i}`, { odd: String(i % 2) })
  const found: string[] = []
  let query: Record<string, string> = { limit: '2', labelSelector: 'odd=1' }
  for (;;) {
    const page = await list(t, query)
    found.push(...names(page))
    assert.equal(page.metadata.remainingItemCount, undefined)
    if (page.metadata.continue === undefined) break
    query = { ...query, continue: page.metadata.continue }
  }
  assert.deepEqual(found, ['m1', 'm3', 'm5', 'm7'])
})

test('a token that is too old is 410 with one that goes on at the newest state', async () => {
  const t = await testServer()
  for (let i = 0; i < 5; i++) await create(t.api, `m${i}`)
  const first = await list(t, { limit: '2' })
  const token = first.metadata.continue ?? ''
  await create(t.api, 'm3a')
  await t.storage.compact(t.storage.revisions().current)
  const expired = await list(t, { limit: '2', continue: token }).catch((error: unknown) => error)
  assert.ok(failsWith(410)(expired))
  const fresh = (expired as StatusError).status.metadata.continue ?? ''
  const second = await list(t, { limit: '2', continue: fresh })
  assert.deepEqual(names(second), ['m2', 'm3'])
  const third = await list(t, { limit: '2', continue: second.metadata.continue ?? '' })
  assert.deepEqual(names(third), ['m3a', 'm4'])
  assert.equal(third.metadata.resourceVersion, second.metadata.resourceVersion)
})

test('a token expires by age too, so that history need not be kept for it', async () => {
  const t = await testServer()
  for (let i = 0; i < 3; i++) await create(t.api, `m${i}`)
  const { metadata } = await list(t, { limit: '1' })
  await t.env.advance(6 * 60_000)
  await assert.rejects(list(t, { limit: '1', continue: metadata.continue ?? '' }), failsWith(410))
  await assert.rejects(
    list(t, { continue: 'bm9uc2Vuc2U' }),
    failsWith(
      400,
      /^invalid continue token: continue key is not valid: invalid character 'o' in literal null \(expecting 'u'\)$/,
    ),
  )
  await assert.rejects(
    list(t, { continue: 'no!' }),
    failsWith(400, /continue key is not valid: illegal base64 data at input byte 2$/),
  )
  await assert.rejects(
    list(t, { continue: Buffer.from('{"v":"x"}').toString('base64url') }),
    failsWith(400, /is not valid: server does not recognize this encoded version x$/),
  )
})

test('a revision that is no number is refused', async () => {
  const t = await testServer()
  const why =
    /^invalid resource version: resourceVersion: Invalid value: "x": strconv.ParseUint: parsing "x": invalid syntax$/
  await assert.rejects(list(t, { resourceVersion: 'x' }), failsWith(400, why))
})

test('a list at a revision, and not older than one', async () => {
  const t = await testServer()
  const { metadata } = await create(t.api, 'a')
  await create(t.api, 'b')
  const { resourceVersion } = metadata
  const at = { resourceVersion, resourceVersionMatch: 'Exact' }
  const exact = await list(t, at)
  assert.deepEqual(names(exact), ['a'])
  assert.equal(exact.metadata.resourceVersion, resourceVersion)
  const newer = await list(t, { resourceVersion, resourceVersionMatch: 'NotOlderThan' })
  assert.deepEqual(names(newer), ['a', 'b'])
  assert.deepEqual(names(await list(t, { resourceVersion: '0' })), ['a', 'b'])
  await t.storage.compact(t.storage.revisions().current)
  await assert.rejects(list(t, at), failsWith(410))
  await assert.rejects(
    list(t, { resourceVersionMatch: 'Exact' }),
    failsWith(422, /resourceVersionMatch is forbidden unless resourceVersion is provided/),
  )
  await assert.rejects(
    list(t, { resourceVersionMatch: 'Exact', resourceVersion: '0' }),
    failsWith(422, /forbidden for resourceVersion "0"/),
  )
})

test('a list of any state has no pages, and no match goes with a page', async () => {
  const t = await testServer()
  for (let i = 0; i < 3; i++) await create(t.api, `m${i}`)
  const any = await list(t, { limit: '2', resourceVersion: '0' })
  assert.deepEqual(names(any), ['m0', 'm1', 'm2'])
  assert.equal(any.metadata.continue, undefined)
  const first = await list(t, { limit: '2' })
  assert.deepEqual(names(first), ['m0', 'm1'])
  const next = { limit: '2', resourceVersion: '0', continue: first.metadata.continue ?? '' }
  assert.deepEqual(names(await list(t, next)), ['m2'])
  await assert.rejects(
    list(t, { ...next, resourceVersionMatch: 'NotOlderThan' }),
    failsWith(422, /resourceVersionMatch is forbidden when continue is provided/),
  )
})

test('a revision that is not there yet is waited for, and then 504', async () => {
  const t = await testServer()
  const waiting = list(t, { resourceVersion: '5', resourceVersionMatch: 'NotOlderThan' })
  for (let i = 0; i < 5; i++) await create(t.api, `m${i}`)
  assert.equal((await waiting).metadata.resourceVersion, '5')
  const never = list(t, { resourceVersion: '1000', resourceVersionMatch: 'NotOlderThan' })
  const refused = assert.rejects(never, failsWith(504, /Too large resource version: 1000/))
  await t.env.advance(10_000)
  await refused
})

test('labels and fields select, and unknown fields are refused', async () => {
  const t = await testServer()
  await create(t.api, 'a', { app: 'web', tier: 'x' })
  await create(t.api, 'b', { app: 'db' })
  assert.deepEqual(names(await list(t, { labelSelector: 'app in (web),tier' })), ['a'])
  assert.deepEqual(names(await list(t, { labelSelector: 'app!=web' })), ['b'])
  assert.deepEqual(names(await list(t, { fieldSelector: 'metadata.name=b' })), ['b'])
  assert.deepEqual(names(await list(t, { fieldSelector: 'metadata.name!=b' })), ['a'])
  await assert.rejects(
    list(t, { fieldSelector: 'data.x=1' }),
    failsWith(400, /"data\.x" is not a known field selector/),
  )
  await assert.rejects(
    list(t, { fieldSelector: 'spec.nope=1' }, PODS),
    failsWith(400, /^field label not supported: spec\.nope$/),
  )
  await assert.rejects(list(t, { labelSelector: 'a in (' }), failsWith(400))
})

test('a watch from a revision tells what came after it, in order', async () => {
  const t = await testServer()
  const { metadata } = await create(t.api, 'a')
  await create(t.api, 'b')
  await patch(t.api, 'a', { data: { x: '1' } })
  await t.api.request({ method: 'DELETE', path: `${MAPS}/b` })
  const events = await watchLines(
    t.server,
    `${MAPS}?watch=1&resourceVersion=${metadata.resourceVersion}`,
    3,
  )
  assert.deepEqual(brief(events), ['ADDED b', 'MODIFIED a', 'DELETED b'])
  const versions = events.map(({ object }) =>
    Number((object as unknown as KubeObject).metadata.resourceVersion),
  )
  assert.deepEqual(
    versions.toSorted((a, b) => a - b),
    versions,
  )
  assert.equal(events[2]?.object['kind'], 'ConfigMap')
})

test('a watch without a revision begins with what is there', async () => {
  const t = await testServer()
  await create(t.api, 'a')
  await create(t.api, 'b')
  for (const version of ['', '&resourceVersion=0'])
    assert.deepEqual(brief(await watchLines(t.server, `${MAPS}?watch=1${version}`, 2)), [
      'ADDED a',
      'ADDED b',
    ])
})

test('a watch-list ends its beginning with a bookmark at the revision of the state', async () => {
  const t = await testServer()
  await create(t.api, 'a')
  const query =
    'watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true'
  const events = await watchLines(t.server, `${MAPS}?${query}`, 2)
  assert.equal(events[0]?.type, 'ADDED')
  assert.equal(events[1]?.type, 'BOOKMARK')
  assert.deepEqual(events[1]?.object['metadata'], {
    resourceVersion: String(t.storage.revisions().current),
    annotations: { 'k8s.io/initial-events-end': 'true' },
  })
  // Of typed objects it has what Go always writes.
  const [pods] = await watchLines(t.server, `/api/v1/pods?${query}`, 1)
  const { metadata: _, ...empty } = pods?.object ?? {}
  assert.deepEqual(empty, {
    kind: 'Pod',
    apiVersion: 'v1',
    spec: { containers: null },
    status: {},
  })
  const { status, json } = await send(t.server, `GET ${MAPS}?watch=1&sendInitialEvents=true`)
  assert.equal(status, 422)
  assert.match(
    String(json['message']),
    /sendInitialEvents requires setting resourceVersionMatch to NotOlderThan/,
  )
})

test('objects come and go as they begin and cease to be selected', async () => {
  const t = await testServer()
  const { metadata } = await create(t.api, 'a', { app: 'db' })
  await patch(t.api, 'a', { metadata: { labels: { app: 'web' } } })
  await patch(t.api, 'a', { data: { x: '1' } })
  await patch(t.api, 'a', { metadata: { labels: { app: 'db' } } })
  await create(t.api, 'z', { app: 'web' })
  const events = await watchLines(
    t.server,
    `${MAPS}?watch=1&labelSelector=app%3Dweb&resourceVersion=${metadata.resourceVersion}`,
    4,
  )
  assert.deepEqual(brief(events), ['ADDED a', 'MODIFIED a', 'DELETED a', 'ADDED z'])
})

test('a watch of one name hears of that object only', async () => {
  const t = await testServer()
  await create(t.api, 'a')
  await create(t.api, 'b')
  await patch(t.api, 'b', { data: { x: '1' } })
  const events = await watchLines(
    t.server,
    `${MAPS}?watch=1&resourceVersion=1&fieldSelector=metadata.name%3Db`,
    2,
  )
  assert.deepEqual(brief(events), ['ADDED b', 'MODIFIED b'])
})

test('a watch from too long ago is told so by its first event', async () => {
  const t = await testServer()
  await create(t.api, 'a')
  // The second server's cache begins where the first one's ended.
  const later = await testServer({ storage: t.storage })
  const line = `GET ${MAPS}?watch=1&resourceVersion=1`
  const { status, json } = await send(later.server, line)
  assert.equal(status, 200)
  assert.equal(json['type'], 'ERROR')
  const { kind, reason, code, message } = json['object'] as JsonObject
  assert.deepEqual([kind, reason, code], ['Status', 'Expired', 410])
  assert.match(String(message), /^too old resource version: 1 \(\d+\)$/)
  const accept = 'application/vnd.kubernetes.protobuf;stream=watch'
  const { headers, text } = await send(later.server, line, undefined, { accept })
  assert.equal(headers['content-type'], accept)
  assert.match(text, /ERROR.*k8s\0.*Status.*too old resource version/s)
})

test('a watch ends when its time is over, and sends bookmarks until then', async () => {
  const t = await testServer()
  await create(t.api, 'a')
  const events = await t.api.watch({
    method: 'GET',
    path: MAPS,
    query: { allowWatchBookmarks: 'true', timeoutSeconds: '150' },
  })
  const seen: WatchEvent[] = []
  const done = (async () => {
    for await (const batch of events) seen.push(...batch)
  })()
  await t.env.settle()
  await t.env.advance(149_000)
  assert.deepEqual(
    seen.map(({ type }) => type),
    ['ADDED', 'BOOKMARK', 'BOOKMARK'],
  )
  await t.env.advance(2000)
  await done
})

test('watches end when the server closes', async () => {
  const t = await testServer()
  const events = await t.api.watch({ method: 'GET', path: MAPS })
  const done = (async () => {
    let count = 0
    for await (const batch of events) count += batch.length
    return count
  })()
  await create(t.api, 'a')
  await t.env.settle()
  await t.server.close()
  assert.equal(await done, 1)
})

test('watchers in the process share one object', async () => {
  const t = await testServer()
  const open = async () => {
    const watch = await t.api.watch({ method: 'GET', path: MAPS, query: { resourceVersion: '1' } })
    return watch[Symbol.asyncIterator]()
  }
  const [one, two] = await Promise.all([open(), open()])
  const made = await create(t.api, 'a')
  const [a, b] = await Promise.all([one.next(), two.next()])
  const first = (a.value as readonly WatchEvent[])[0]?.object
  assert.equal(first, (b.value as readonly WatchEvent[])[0]?.object)
  assert.equal(first, made)
  await Promise.all([one.return?.(undefined), two.return?.(undefined)])
})

test('tables have the columns of the kind, metadata only where asked, and pages like lists', async () => {
  const { server, api } = await testServer()
  for (const name of ['a', 'b', 'c']) await create(api, name)
  const accept = 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json'
  const { json } = await send(server, `GET ${MAPS}?limit=2`, undefined, { accept })
  const table = json as unknown as {
    kind: string
    metadata: List['metadata']
    columnDefinitions: readonly { name: string; description: string }[]
    rows: readonly { cells: readonly unknown[]; object: JsonObject }[]
  }
  assert.equal(table.kind, 'Table')
  assert.deepEqual(
    table.columnDefinitions.map(({ name }) => name),
    ['Name', 'Data', 'Age'],
  )
  assert.ok(table.columnDefinitions.every(({ description }) => description !== ''))
  assert.equal(table.rows.length, 2)
  assert.equal(table.rows[0]?.object['kind'], 'PartialObjectMetadata')
  assert.equal(table.metadata.remainingItemCount, 1)
  const watched = await watchLines(server, `${MAPS}?watch=1`, 2, { accept })
  const columns = watched.map(
    ({ object }) => (object['columnDefinitions'] as readonly unknown[] | null)?.length,
  )
  assert.deepEqual(columns, [3, undefined])
})

test('metadata alone can be asked for, of one object and of many', async () => {
  const { server, api } = await testServer()
  await create(api, 'a')
  const as = (name: string) => ({ accept: `application/json;as=${name};v=v1;g=meta.k8s.io` })
  const one = await send(server, `GET ${MAPS}/a`, undefined, as('PartialObjectMetadata'))
  assert.equal(one.json['kind'], 'PartialObjectMetadata')
  const many = await send(server, `GET ${MAPS}`, undefined, as('PartialObjectMetadataList'))
  assert.equal(many.json['kind'], 'PartialObjectMetadataList')
  assert.equal((many.json['items'] as unknown[]).length, 1)
})

test('a table of the older version has rows of that version, and says what they may carry', async () => {
  const t = await testServer()
  await create(t.api, 'a')
  const accept = { accept: 'application/json;as=Table;v=v1beta1;g=meta.k8s.io' }
  const { json } = await send(t.server, `GET ${MAPS}`, undefined, accept)
  const [row] = json['rows'] as readonly { object: { apiVersion: string } }[]
  assert.deepEqual(
    [json['apiVersion'], row?.object.apiVersion],
    Array(2).fill('meta.k8s.io/v1beta1'),
  )
  for (const query of ['', '&watch=1']) {
    const refused = await send(
      t.server,
      `GET ${MAPS}?includeObject=much${query}`,
      undefined,
      accept,
    )
    assert.equal(refused.status, 400)
    assert.match(
      String(refused.json['message']),
      /"much": must be 'Metadata', 'Object', 'None', or empty$/,
    )
  }
})
