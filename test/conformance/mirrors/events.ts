import assert from 'node:assert/strict'
import type { Json } from '../api.ts'
import { mirror } from '../mirror.ts'
import { names } from '../support.ts'

const micro = '2017-09-19T13:49:16.000000Z'

const coreEvent = (name: string, namespace: string, labels: Json, extra: Json = {}): Json => ({
  apiVersion: 'v1',
  kind: 'Event',
  metadata: { name, labels },
  message: 'This is a test event',
  reason: 'Test',
  type: 'Normal',
  count: 1,
  involvedObject: { namespace },
  ...extra,
})

mirror(
  '[sig-instrumentation] Events should manage the lifecycle of an event [Conformance]',
  async ({ api, ns, namespace }) => {
    const path = ns('events')
    const labels = { 'testevent-constant': 'true' }
    await api.post(
      path,
      // As a typed client writes what is not set.
      coreEvent('event-test', namespace, labels, {
        source: {},
        firstTimestamp: null,
        lastTimestamp: null,
        eventTime: null,
        reportingComponent: '',
        reportingInstance: '',
      }),
    )
    const everywhere = (
      await api.get('/api/v1/events', { labelSelector: 'testevent-constant=true' })
    )['items'].filter((item: Json) => item['metadata'].namespace === namespace)
    assert.equal(everywhere.length, 1)
    assert.equal(everywhere[0].metadata.name, 'event-test')

    const message = 'This is a test event - patched'
    const patched = await api.patch(`${path}/event-test`, { message }, 'strategic-merge')
    assert.equal(patched['message'], message)
    const read = await api.get(`${path}/event-test`)
    assert.equal(read['message'], message)

    const series = { count: 100, lastObservedTime: micro }
    const { resourceVersion: _, managedFields: _1, ...metadata } = read['metadata']
    const wanted = { ...read, metadata, series }
    await api.put(`${path}/event-test`, wanted)
    const after = await api.get(`${path}/event-test`)
    delete after['metadata'].resourceVersion
    delete after['metadata'].managedFields
    assert.deepEqual(after, wanted)

    const fieldSelector = `involvedObject.namespace=${namespace},reason=Test`
    assert.deepEqual(names(await api.get(path, { fieldSelector })), ['event-test'])
    await api.delete(`${path}/event-test`)
    assert.deepEqual(names(await api.get(path, { labelSelector: 'testevent-constant=true' })), [])
  },
)

mirror(
  '[sig-instrumentation] Events should delete a collection of events [Conformance]',
  async ({ api, ns, namespace }) => {
    const path = ns('events')
    const labels = { 'testevent-set': 'true' }
    for (const name of ['test-event-1', 'test-event-2', 'test-event-3'])
      await api.post(path, coreEvent(name, namespace, labels))
    const selector = { labelSelector: 'testevent-set=true' }
    assert.equal((await api.get(path, selector))['items'].length, 3)
    await api.delete(path, undefined, selector)
    assert.equal((await api.get(path, selector))['items'].length, 0)
  },
)

const newEvent = (name: string, namespace: string, labels: Json): Json => ({
  apiVersion: 'events.k8s.io/v1',
  kind: 'Event',
  metadata: { name, labels },
  regarding: { namespace },
  eventTime: micro,
  note: `note of ${name}`,
  action: 'Do',
  reason: 'Test',
  type: 'Normal',
  reportingController: 'test-controller',
  reportingInstance: 'test-node',
})

mirror(
  '[sig-instrumentation] Events API should ensure that an event can be fetched, patched, deleted, and listed [Conformance]',
  async ({ api, ns, namespace }) => {
    const base = '/apis/events.k8s.io/v1'
    const path = `${base}/namespaces/${namespace}/events`
    const name = 'event-test'
    const made = newEvent(name, namespace, { 'testevent-constant': 'true' })
    const created = await api.post(path, made)

    const listed = (await api.get(base + '/events', { labelSelector: 'testevent-constant=true' }))[
      'items'
    ].filter((item: Json) => item['metadata'].namespace === namespace)
    assert.deepEqual(
      listed.map((item: Json) => item['metadata'].name),
      [name],
    )
    const bySource = await api.get(path, { fieldSelector: 'reportingController=test-controller' })
    assert.deepEqual(names(bySource), [name])
    // In the core group the same is asked of the source.
    const ofCore = await api.get(ns('events'), { fieldSelector: 'source=test-controller' })
    assert.deepEqual(names(ofCore), [name])

    const got = await api.get(`${path}/${name}`)
    const { metadata: _, ...content } = got
    assert.deepEqual(content, (({ metadata: __, ...rest }) => rest)(created))
    for (const key of [
      'note',
      'action',
      'reason',
      'type',
      'eventTime',
      'reportingController',
      'reportingInstance',
    ])
      assert.equal(content[key], made[key], key)
    assert.deepEqual(content['regarding'], { namespace })

    const series = { count: 2, lastObservedTime: '2017-09-19T13:49:17.000000Z' }
    const patched = await api.patch(`${path}/${name}`, { series }, 'strategic-merge')
    assert.deepEqual(patched['series'], series)

    const more = { count: 100, lastObservedTime: '2017-09-19T13:49:18.000000Z' }
    const updated = await api.put(`${path}/${name}`, { ...patched, series: more })
    assert.deepEqual(updated['series'], more)
    assert.deepEqual((await api.get(`${path}/${name}`))['series'], more)
    // The same event through the core group.
    const core = await api.get(ns(`events/${name}`))
    assert.deepEqual(
      [core['message'], core['source'], core['involvedObject']],
      [made['note'], {}, { namespace }],
    )

    await api.delete(`${path}/${name}`)
    assert.deepEqual(names(await api.get(path, { labelSelector: 'testevent-constant=true' })), [])
  },
)

mirror(
  '[sig-instrumentation] Events API should delete a collection of events [Conformance]',
  async ({ api, namespace }) => {
    const path = `/apis/events.k8s.io/v1/namespaces/${namespace}/events`
    for (const name of ['test-event-1', 'test-event-2', 'test-event-3'])
      await api.post(path, newEvent(name, namespace, { 'testevent-set': 'true' }))
    const selector = { labelSelector: 'testevent-set=true' }
    assert.equal((await api.get(path, selector))['items'].length, 3)
    await api.delete(path, undefined, selector)
    assert.equal((await api.get(path, selector))['items'].length, 0)
  },
)
