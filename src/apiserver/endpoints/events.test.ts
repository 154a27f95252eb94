import assert from 'node:assert/strict'
import { test } from 'node:test'
import { testServer } from '../server.testing.ts'
import { get, post, refused } from '../verbs.testing.ts'

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
