import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createMemoryStorage } from '#storage'
import { virtualEnv } from '#base'
import { watchLines } from '../server.testing.ts'
import {
  conditionOf,
  CRDS,
  established,
  server,
  serving,
  until,
  version,
  WIDGETS,
  widget,
  widgets,
} from './custom-resources.testing.ts'

test('a definition is established and its objects are served, with names filled in', async () => {
  const { request } = await serving(widgets())
  const { json } = await request(`GET ${CRDS}/widgets.example.com`)
  assert.equal(conditionOf(json, 'NamesAccepted'), 'True')
  const { acceptedNames, storedVersions } = json['status'] as Record<string, unknown>
  assert.deepEqual(acceptedNames, {
    plural: 'widgets',
    singular: 'widget',
    kind: 'Widget',
    listKind: 'WidgetList',
  })
  assert.deepEqual(storedVersions, ['v1'])
  const made = await request(`POST ${WIDGETS}`, widget('w', { spec: { size: 1 } }))
  assert.equal(made.status, 201, made.text)
  const list = await request(`GET ${WIDGETS}`)
  assert.equal(list.json['kind'], 'WidgetList')
  const [item] = list.json['items'] as Record<string, unknown>[]
  assert.equal(item?.['kind'], 'Widget')
  assert.deepEqual(item?.['spec'], { size: 1 })
})

test('discovery has the resource in the moment in which the watch says that it is established', async () => {
  const made = await server()
  const [event] = await Promise.all([
    watchLines(made.server, `${CRDS}?watch=true&allowWatchBookmarks=false`, 2),
    made.request(`POST ${CRDS}`, widgets()),
  ])
  assert.equal(conditionOf(event[1]!.object, 'Established'), 'True')
  const { json } = await made.request('GET /apis/example.com/v1')
  assert.deepEqual(
    (json['resources'] as { name: string }[]).map(({ name }) => name),
    ['widgets'],
  )
  const groups = await made.request('GET /apis', undefined, {
    accept: 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList',
  })
  assert.ok(groups.text.includes('example.com'))
})

test('a definition whose webhook nobody could trust is taken, and not served until that is mended', async () => {
  const made = await server()
  const conversion = (caBundle: string): object => ({
    conversion: {
      strategy: 'Webhook',
      webhook: {
        clientConfig: { service: { namespace: 'shop', name: 'hook' }, caBundle },
        conversionReviewVersions: ['v1'],
      },
    },
  })
  const path = `${CRDS}/widgets.example.com`
  const bad = Buffer.from('no certificate').toString('base64')
  const created = await made.request(`POST ${CRDS}`, widgets(undefined, conversion(bad)))
  assert.equal(created.status, 201, created.text)
  await until(async () => (await made.request(`GET ${path}`)).text.includes('NamesAccepted'))
  const { json, text } = await made.request(`GET ${path}`)
  assert.equal(conditionOf(json, 'NamesAccepted'), 'True')
  assert.equal(conditionOf(json, 'Established'), 'False')
  assert.match(text, /"InvalidCABundle"/)
  assert.equal((await made.request(`GET ${WIDGETS}`)).status, 404)
  await made.request(
    `PATCH ${path}`,
    { spec: { conversion: { strategy: 'None', webhook: null } } },
    { 'content-type': 'application/merge-patch+json' },
  )
  await established(made, 'widgets.example.com')
})

test('names that another definition has are refused until they are free', async () => {
  const made = await serving(
    widgets(undefined, {
      names: { plural: 'widgets', kind: 'Widget', shortNames: ['w'] },
    }),
  )
  const other = {
    ...widgets(undefined, { names: { plural: 'wheels', kind: 'Widget', shortNames: ['w'] } }),
    metadata: { name: 'wheels.example.com' },
  }
  await made.request(`POST ${CRDS}`, other)
  const path = `${CRDS}/wheels.example.com`
  await until(
    async () => conditionOf((await made.request(`GET ${path}`)).json, 'NamesAccepted') === 'False',
  )
  const { json } = await made.request(`GET ${path}`)
  assert.equal(conditionOf(json, 'Established'), 'False')
  assert.match(
    JSON.stringify(json['status']),
    /ListKindConflict.*\\"WidgetList\\" is already in use/,
  )
  assert.equal((await made.request('GET /apis/example.com/v1/wheels')).status, 404)
  await made.request(`DELETE ${CRDS}/widgets.example.com`)
  await established(made, 'wheels.example.com')
  assert.equal((await made.request('GET /apis/example.com/v1/wheels')).status, 200)
})

test('a definition takes its objects with it, and waits for those that others hold on to', async () => {
  const made = await serving(widgets())
  const { request } = made
  await request(`POST ${WIDGETS}`, widget('free'))
  await request(`POST ${WIDGETS}`, {
    ...widget('held'),
    metadata: { name: 'held', finalizers: ['example.com/x'] },
  })
  await request(`DELETE ${CRDS}/widgets.example.com`)
  await until(async () => (await request(`GET ${WIDGETS}/free`)).status === 404)
  const waiting = await request(`GET ${CRDS}/widgets.example.com`)
  assert.equal(conditionOf(waiting.json, 'Terminating'), 'True')
  const late = await request(`POST ${WIDGETS}`, widget('late'))
  assert.equal(late.status, 403)
  assert.equal(
    late.json['message'],
    'widgets.example.com "late" is forbidden: create not allowed while custom resource definition is terminating',
  )
  const applied = await request(`PATCH ${WIDGETS}/later?fieldManager=m`, widget('later'), {
    'content-type': 'application/apply-patch+yaml',
  })
  assert.equal(applied.status, 403)
  await request(
    `PATCH ${WIDGETS}/held`,
    { metadata: { finalizers: null } },
    {
      'content-type': 'application/merge-patch+json',
    },
  )
  await made.env.advance(5000)
  await until(async () => (await request(`GET ${CRDS}/widgets.example.com`)).status === 404)
  await until(async () => (await request(`GET ${WIDGETS}`)).status === 404)
})

test('a server that starts anew serves what was established', async () => {
  const storage = createMemoryStorage(virtualEnv())
  const first = await serving(widgets(), { storage })
  await first.request(`POST ${WIDGETS}`, widget('w'))
  const second = await server({ storage })
  assert.equal((await second.request(`GET ${WIDGETS}/w`)).status, 200)
})

test('a version that is no longer served is gone, and the others stay', async () => {
  const two = [version('v1'), version('v2', { storage: false })]
  const { request } = await serving(widgets(two))
  const v2 = WIDGETS.replace('/v1/', '/v2/')
  assert.equal((await request(`GET ${v2}`)).status, 200)
  const { json } = await request(`GET ${CRDS}/widgets.example.com`)
  const spec = json['spec'] as { versions: Record<string, unknown>[] }
  spec.versions[1]!['served'] = false
  assert.equal((await request(`PUT ${CRDS}/widgets.example.com`, json)).status, 200)
  await until(async () => (await request(`GET ${v2}`)).status === 404)
  assert.equal((await request(`GET ${WIDGETS}`)).status, 200)
})
