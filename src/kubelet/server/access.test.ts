import assert from 'node:assert/strict'
import { test } from 'node:test'
import { virtualEnv } from '#base'
import type { SubjectAccessReview, TokenReview } from '#api'
import { createClient, type Transport } from '#client'
import { reviewedAccess } from './access.ts'
import { nodeAttributes } from './attributes.ts'

const READ = { verb: 'get', subresources: ['pods', 'proxy'] }

function world(
  answers: {
    readonly token?: () => TokenReview['status']
    readonly allowed?: (subresource: string) => boolean
  } = {},
) {
  const env = virtualEnv()
  const asked: unknown[] = []
  const transport: Transport = {
    request: async ({ path, body }) => {
      const review = body as TokenReview & SubjectAccessReview
      asked.push(review.spec)
      if (path.endsWith('/tokenreviews')) return { ...review, status: answers.token?.() }
      const subresource = review.spec.resourceAttributes?.subresource ?? ''
      return { ...review, status: { allowed: answers.allowed?.(subresource) ?? false } }
    },
    watch: () => assert.fail('nothing is watched'),
  }
  const access = reviewedAccess({ client: createClient(transport), nodeName: 'n1', env })
  return { env, access, asked }
}

test('whose a token is, is asked again only after two minutes', async () => {
  const user = { username: 'bob', uid: '7', groups: ['dev'], extra: { scope: ['a'] } }
  const { env, access, asked } = world({ token: () => ({ authenticated: true, user }) })
  const bob = { name: 'bob', uid: '7', groups: ['dev'], extra: { scope: ['a'] } }
  assert.deepEqual(await Promise.all([access.authenticate('t'), access.authenticate('t')]), [
    bob,
    bob,
  ])
  await env.advance(119_000)
  await access.authenticate('t')
  assert.deepEqual(asked, [{ token: 't' }])
  await env.advance(2000)
  await access.authenticate('t')
  await access.authenticate('another')
  assert.equal(asked.length, 3)
})

test('a token that is nobody’s gives nobody; a failure is not remembered', async () => {
  let isUp = false
  const { access } = world({
    token: () => {
      if (!isUp) throw new Error('the API is gone')
      return { authenticated: false, user: { username: 'system:anonymous' } }
    },
  })
  await assert.rejects(access.authenticate('t'), /the API is gone/)
  isUp = true
  assert.equal(await access.authenticate('t'), undefined)
})

test('one allowed part is enough; a yes lasts five minutes and a no thirty seconds', async () => {
  const { env, access, asked } = world({ allowed: (subresource) => subresource === 'proxy' })
  const bob = { name: 'bob', groups: ['dev'] }
  assert.equal(await access.authorize(bob, READ), true)
  const about = { verb: 'get', version: 'v1', resource: 'nodes', name: 'n1' }
  assert.deepEqual(asked, [
    { user: 'bob', groups: ['dev'], resourceAttributes: { ...about, subresource: 'pods' } },
    { user: 'bob', groups: ['dev'], resourceAttributes: { ...about, subresource: 'proxy' } },
  ])
  await env.advance(29_000)
  await access.authorize(bob, READ)
  assert.equal(asked.length, 2)
  await env.advance(2000)
  await access.authorize(bob, READ)
  assert.equal(asked.length, 3)
  await env.advance(280_000)
  await access.authorize(bob, READ)
  assert.equal(asked.length, 5)
})

test('what cannot be found out is an error of its own', async () => {
  const { access } = world({
    allowed: () => {
      throw new Error('the API is gone')
    },
  })
  await assert.rejects(
    access.authorize({ name: 'bob', groups: [] }, READ),
    /^AuthorizationError: Authorization error \(user=bob, verb=get, resource=nodes, subresource=pods\)$/,
  )
})

test('each page has its part of the node', () => {
  const parts = (path: string) => nodeAttributes('GET', path).subresources.join(' ')
  assert.deepEqual(
    [
      '/pods',
      '/runningpods/',
      '/healthz/ping',
      '/configz',
      '/stats/summary',
      '/metrics/cadvisor',
    ].map(parts),
    ['pods proxy', 'pods proxy', 'healthz proxy', 'configz proxy', 'stats', 'metrics'],
  )
  assert.deepEqual(['/logs/', '/checkpoint/a/b/c', '/exec/a/b/c', '/podsmore', '/'].map(parts), [
    'log',
    'checkpoint',
    'proxy',
    'proxy',
    'proxy',
  ])
  assert.equal(nodeAttributes('DELETE', '/pods').verb, 'delete')
  assert.equal(nodeAttributes('HEAD', '/pods').verb, '')
})
