/** What many tests of the list ask of one resource: every verb, watched from the outside (H-P1, H-R10). */
import assert from 'node:assert/strict'
import type { Json } from './api.ts'
import type { Fixture } from './mirror.ts'
import { change } from './support.ts'

export interface Operated {
  readonly groupVersion: string
  readonly resource: string
  readonly kind: string
  readonly namespaced: boolean
  /** All but apiVersion, kind and metadata. */
  readonly body: Json
  /** A merge patch that changes something besides metadata, and what to look for after it. */
  readonly update?: (object: Json) => Json
  /** Also patch, read and replace /status with this. */
  readonly status?: {
    readonly value: Json
    readonly look: (status: Json) => unknown
    readonly expected: unknown
    /** Whether the status endpoint takes metadata too: most do. */ readonly keepsMetadata?: false
  }
}

/** Discovery, create, get, list (in all namespaces too), watch, patch, update, status, delete and delete by collection. */
export async function operate(
  { api, namespace, unique, cleanUp }: Fixture,
  what: Operated,
): Promise<void> {
  const { groupVersion, resource, kind, namespaced, body } = what
  const base = groupVersion.includes('/') ? `/apis/${groupVersion}` : `/api/${groupVersion}`
  const discovered = await api.get(base)
  const entry = discovered['resources'].find((r: Json) => r['name'] === resource)
  assert.ok(entry, `${resource} is not in the discovery of ${groupVersion}`)
  assert.equal(entry.kind, kind)
  assert.equal(entry.namespaced, namespaced)

  const path = namespaced ? `${base}/namespaces/${namespace}/${resource}` : `${base}/${resource}`
  const mark = unique('operated')
  const names = [unique('a'), unique('b'), unique('c')]
  const make = (name: string): Json => ({
    apiVersion: groupVersion,
    kind,
    metadata: { name, labels: { mark } },
    ...structuredClone(body),
  })
  cleanUp(() => api.delete(path, undefined, { labelSelector: `mark=${mark}` }))
  const selector = { labelSelector: `mark=${mark}` }

  const first = await api.post(path, make(names[0] ?? ''))
  assert.equal(first['kind'], kind)
  const again = await api.call('POST', path, { body: make(names[0] ?? '') })
  assert.deepEqual([again.status, again.json['reason']], [409, 'AlreadyExists'])
  await api.post(path, make(names[1] ?? ''))
  await api.post(path, make(names[2] ?? ''))

  const got = await api.get(`${path}/${names[0]}`)
  assert.equal(got['metadata'].uid, first['metadata'].uid)
  const listed = await api.get(path, selector)
  assert.deepEqual(
    listed['items'].map((item: Json) => item['metadata'].name).toSorted(),
    names.toSorted(),
  )
  if (namespaced) assert.equal((await api.get(`${base}/${resource}`, selector))['items'].length, 3)

  const watching = await api.watch(path, {
    ...selector,
    resourceVersion: listed['metadata'].resourceVersion,
  })
  const patched = await api.patch(
    `${path}/${names[0]}`,
    { metadata: { annotations: { patched: 'true' } } },
    'merge',
  )
  assert.equal(patched['metadata'].annotations.patched, 'true')
  await watching.next(
    'the patch',
    ({ type, object }) => type === 'MODIFIED' && object['metadata'].annotations?.patched === 'true',
  )
  const updated = await api.put(`${path}/${names[0]}`, {
    ...(what.update === undefined ? patched : what.update(structuredClone(patched))),
    metadata: {
      ...patched['metadata'],
      annotations: { ...patched['metadata'].annotations, updated: 'true' },
    },
  })
  assert.equal(updated['metadata'].annotations.updated, 'true')
  assert.ok(Number(updated['metadata'].resourceVersion) > Number(first['metadata'].resourceVersion))
  await watching.next(
    'the update',
    ({ type, object }) => type === 'MODIFIED' && object['metadata'].annotations?.updated === 'true',
  )

  if (what.status !== undefined) {
    const { value, look, expected, keepsMetadata } = what.status
    const after = await api.patch(
      `${path}/${names[0]}/status`,
      { metadata: { annotations: { patchedstatus: 'true' } }, status: value },
      'merge',
    )
    if (keepsMetadata !== false) assert.equal(after['metadata'].annotations.patchedstatus, 'true')
    assert.deepEqual(look(after['status']), expected)
    const read = await api.get(`${path}/${names[0]}/status`)
    assert.deepEqual(look(read['status']), expected)
    // A controller may write its status too.
    const replaced = await change(api, `${path}/${names[0]}/status`, (object) => {
      object['metadata'].annotations = {
        ...object['metadata'].annotations,
        replacedstatus: 'true',
      }
    })
    if (keepsMetadata !== false)
      assert.equal(replaced['metadata'].annotations.replacedstatus, 'true')
  }

  await api.delete(`${path}/${names[0]}`)
  await watching.next(
    'the deletion',
    ({ type, object }) => type === 'DELETED' && object['metadata'].name === names[0],
  )
  assert.equal((await api.call('GET', `${path}/${names[0]}`)).status, 404)
  assert.equal((await api.get(path, selector))['items'].length, 2)
  await api.delete(path, undefined, selector)
  for (const name of names.slice(1)) {
    await watching.next(
      `the deletion of ${name}`,
      ({ type, object }) => type === 'DELETED' && names.includes(object['metadata'].name),
    )
  }
  assert.equal((await api.get(path, selector))['items'].length, 0)
  watching.stop()
}
