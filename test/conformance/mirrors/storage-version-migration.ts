import assert from 'node:assert/strict'
import type { Json } from '../api.ts'
import { mirror } from '../mirror.ts'

const GROUP = '/apis/storagemigration.k8s.io'
const PATH = `${GROUP}/v1/storageversionmigrations`

mirror(
  '[sig-api-machinery] StorageVersionMigration CRUD Tests storagemigration.k8s.io/v1 StorageVersionMigration [Conformance]',
  async ({ api, unique, until, cleanUp }) => {
    const label = unique('svm')
    const query = { labelSelector: `e2e-svm=${label}` }
    cleanUp(() => api.delete(PATH, undefined, query))
    const groups = await api.get('/apis')
    const group = groups['groups'].find((each: Json) => each['name'] === 'storagemigration.k8s.io')
    assert.ok(group?.versions.some((each: Json) => each['version'] === 'v1'))
    assert.equal((await api.get(GROUP))['name'], 'storagemigration.k8s.io')
    const { resources } = (await api.get(`${GROUP}/v1`)) as { resources: Json[] }
    const names = resources.map((each) => each['name'])
    assert.ok(names.includes('storageversionmigrations'))
    assert.ok(names.includes('storageversionmigrations/status'))

    const object = (): Json => ({
      apiVersion: 'storagemigration.k8s.io/v1',
      kind: 'StorageVersionMigration',
      metadata: { generateName: 'e2e-svm-', labels: { 'e2e-svm': label } },
      spec: { resource: { group: 'example.com', resource: 'nothings' } },
    })
    const watching = await api.watch(PATH, query)
    const made = await api.post(PATH, object())
    const { name } = made['metadata']
    await watching.next(
      'added',
      ({ type, object: each }) => type === 'ADDED' && each['metadata'].name === name,
    )
    await Promise.all([api.post(PATH, object()), api.post(PATH, object())])
    assert.equal((await api.get(`${PATH}/${name}`))['metadata'].uid, made['metadata'].uid)
    assert.equal((await api.get(PATH, query))['items'].length, 3)

    const patched = await api.patch(
      `${PATH}/${name}`,
      { metadata: { annotations: { patched: 'true' } } },
      'merge',
    )
    assert.equal(patched['metadata'].annotations.patched, 'true')
    const updated = await until('the object is updated', async () => {
      const now = await api.get(`${PATH}/${name}`)
      now['metadata'].annotations.updated = 'true'
      const answer = await api.call('PUT', `${PATH}/${name}`, { body: now })
      return answer.status === 200 && answer.json
    })
    assert.equal(updated['metadata'].annotations.updated, 'true')
    await watching.next(
      'updated',
      ({ type, object: each }) =>
        type === 'MODIFIED' && each['metadata'].annotations?.updated === 'true',
    )

    const status = await api.patch(
      `${PATH}/${name}/status`,
      { metadata: { annotations: { patchedstatus: 'true' } }, status: { resourceVersion: '42' } },
      'merge',
    )
    assert.equal(status['status'].resourceVersion, '42')
    assert.equal(status['metadata'].annotations.patchedstatus, 'true')
    await until('the status is updated', async () => {
      const now = await api.get(`${PATH}/${name}/status`)
      now['status'].resourceVersion = '43'
      const { status: code } = await api.call('PUT', `${PATH}/${name}/status`, { body: now })
      return code === 200
    })

    await api.delete(`${PATH}/${name}`)
    await watching.next('deleted', ({ type }) => type === 'DELETED')
    assert.equal((await api.call('GET', `${PATH}/${name}`)).status, 404)
    await api.delete(PATH, undefined, query)
    await until('all are gone', async () => {
      const { items } = (await api.get(PATH, query)) as { items: Json[] }
      return items.length === 0
    })
    watching.stop()
  },
)
