import assert from 'node:assert/strict'
import type { Json } from '../api.ts'
import { condition, define, DEFINITIONS, established, OPEN, version } from '../custom.ts'
import { mirror } from '../mirror.ts'

const title = (what: string): string =>
  `[sig-api-machinery] CustomResourceDefinition resources [Privileged:ClusterAdmin] ${what} [Conformance]`

mirror(
  '[sig-api-machinery] CustomResourceDefinition Watch [Privileged:ClusterAdmin] CustomResourceDefinition Watch watch on custom resource definition objects [Conformance]',
  async (fixture) => {
    const { api } = fixture
    const custom = await define(fixture, [version('v1')], { scope: 'Cluster' })
    const path = custom.path('v1')
    const watching = await api.watch(path, { timeoutSeconds: 600 })
    for (const name of ['name1', 'name2']) {
      const made = await api.post(path, custom.object('v1', name, { content: { key: 'value' } }))
      const { object } = await watching.next(
        `${name} added`,
        ({ type, object: each }) => type === 'ADDED' && each['metadata'].name === name,
      )
      assert.deepEqual(object, made)
    }
    for (const name of ['name1', 'name2']) {
      await api.patch(`${path}/${name}`, [{ op: 'add', path: '/dummy', value: 'test' }], 'json')
      await watching.next(
        `${name} modified`,
        ({ type, object }) => type === 'MODIFIED' && object['dummy'] === 'test',
      )
    }
    for (const name of ['name1', 'name2']) {
      await api.delete(`${path}/${name}`)
      await watching.next(
        `${name} deleted`,
        ({ type, object }) => type === 'DELETED' && object['metadata'].name === name,
      )
    }
    watching.stop()
  },
)

mirror(
  title(
    'Simple CustomResourceDefinition creating/deleting custom resource definition objects works',
  ),
  async (fixture) => {
    const { api, until } = fixture
    const custom = await define(fixture, [version('v1')])
    assert.equal((await api.call('GET', custom.path('v1'))).status, 200)
    await api.delete(`${DEFINITIONS}/${custom.name}`)
    await until('the definition is gone', async () => {
      const { status } = await api.call('GET', `${DEFINITIONS}/${custom.name}`)
      return status === 404
    })
    assert.equal((await api.call('GET', custom.path('v1'))).status, 404)
  },
)

mirror(
  title('Simple CustomResourceDefinition listing custom resource definition objects works'),
  async (fixture) => {
    const { api, unique, until, cleanUp } = fixture
    const label = unique('crdlabel')
    const group = `${unique('listing')}.example.com`
    const query = { labelSelector: `e2e-list-test-uuid=${label}` }
    cleanUp(() => api.delete(DEFINITIONS, undefined, query))
    for (let i = 0; i < 10; i++) {
      const plural = `lists-${i}-s`
      await api.post(DEFINITIONS, {
        apiVersion: 'apiextensions.k8s.io/v1',
        kind: 'CustomResourceDefinition',
        metadata: { name: `${plural}.${group}`, labels: { 'e2e-list-test-uuid': label } },
        spec: {
          group,
          scope: 'Cluster',
          names: { plural, kind: `List${i}` },
          versions: [{ ...version('v1'), storage: true }],
        },
      })
      await established(fixture, `${plural}.${group}`)
    }
    assert.equal((await api.get(DEFINITIONS, query))['items'].length, 10)
    await api.delete(DEFINITIONS, undefined, query)
    await until('all are gone', async () => {
      const { items } = (await api.get(DEFINITIONS, query)) as { items: Json[] }
      return items.length === 0
    })
  },
)

mirror(
  title(
    'Simple CustomResourceDefinition getting/updating/patching custom resource definition status sub-resource works',
  ),
  async (fixture) => {
    const { api, until } = fixture
    const custom = await define(fixture, [version('v1')])
    const path = `${DEFINITIONS}/${custom.name}/status`
    // A condition without a type, as a typed client writes one of which only the message is set.
    const written = { type: '', status: '', lastTransitionTime: null, message: 'updated' }
    const isSaid = (object: Json, message: string): boolean =>
      object['status'].conditions.some(
        (each: Json) => each['message'] === message && each['type'] === '',
      )
    const { spec } = await api.get(`${DEFINITIONS}/${custom.name}`)
    const updated = await until('the status is updated', async () => {
      const now = await api.get(path)
      assert.deepEqual(now['spec'], spec)
      assert.equal(condition(now, 'Established'), 'True')
      now['status'].conditions.push(written)
      const answer = await api.call('PUT', path, { body: now })
      if (answer.status === 409) return undefined
      assert.equal(answer.status, 200, answer.text)
      return answer.json
    })
    assert.ok(isSaid(updated, 'updated'))
    const patched = await api.patch(
      path,
      [{ op: 'add', path: '/status/conditions', value: [{ message: 'patched' }] }],
      'json',
    )
    assert.ok(isSaid(patched, 'patched'))
    assert.equal(isSaid(patched, 'updated'), false)
    const kept = await until('the server says again what it knows', async () => {
      const now = await api.get(path)
      return condition(now, 'Established') === 'True' && now
    })
    assert.ok(isSaid(kept, 'patched'))
    assert.equal((await api.call('GET', custom.path('v1'))).status, 200)
  },
)

mirror(title('custom resource defaulting for requests and from storage works'), async (fixture) => {
  const { api, until } = fixture
  const schema: Json = {
    ...OPEN,
    properties: { a: { type: 'string', default: 'A' }, b: { type: 'string' } },
  }
  const custom = await define(fixture, [version('v1', schema)])
  const path = custom.path('v1')
  const made = await api.post(path, custom.object('v1', 'cr1'))
  assert.equal(made['a'], 'A')
  assert.equal(made['b'], undefined)
  const properties = '/spec/versions/0/schema/openAPIV3Schema/properties'
  await api.patch(
    `${DEFINITIONS}/${custom.name}`,
    [
      { op: 'add', path: `${properties}/b/default`, value: 'B' },
      { op: 'remove', path: `${properties}/a/default` },
    ],
    'json',
  )
  const read = await until('the new default is shown', async () => {
    const now = await api.get(`${path}/cr1`)
    return now['b'] === 'B' && now
  })
  assert.equal(read['a'], 'A', 'what was written before is stored')
  const other = await until('the old default is gone', async () => {
    const answer = await api.post(path, custom.object('v1', fixture.unique('cr')))
    return answer['a'] === undefined && answer
  })
  assert.equal(other['b'], 'B')
})

mirror(
  title('should include custom resource definition resources in discovery documents'),
  async ({ api }) => {
    const groups = await api.get('/apis')
    const group = groups['groups'].find((each: Json) => each['name'] === 'apiextensions.k8s.io')
    assert.ok(group, 'the group is in /apis')
    assert.ok(group.versions.some((each: Json) => each['version'] === 'v1'))
    const own = await api.get('/apis/apiextensions.k8s.io')
    assert.ok(
      own['versions'].some((each: Json) => each['groupVersion'] === 'apiextensions.k8s.io/v1'),
    )
    const resources = await api.get('/apis/apiextensions.k8s.io/v1')
    assert.ok(
      resources['resources'].some((each: Json) => each['name'] === 'customresourcedefinitions'),
    )
  },
)
