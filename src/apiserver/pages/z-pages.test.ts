import assert from 'node:assert/strict'
import { test } from 'node:test'
import { send, testServer } from '../server.testing.ts'

test('statusz and flagz are texts, and objects for those who ask by the whole media type', async () => {
  const { server, env } = await testServer({ maxInFlight: { reading: 7, writing: 3 } })
  await env.advance(3_661_000)
  const page = await send(server, 'GET /statusz')
  assert.equal(page.status, 200)
  assert.match(String(page.headers['content-type']), /^text\/plain/)
  assert.match(page.text, /^\nkube-apiserver statusz\nWarning: This endpoint is not meant/)
  assert.match(page.text, /\nUp: 1 hr 01 min 01 sec\n/)
  assert.match(page.text, /\nBinary version: 1\.36\.0\nEmulation version: 1\.36\nPaths: \/flagz /)
  const flags = await send(server, 'GET /flagz', undefined, { accept: '*/*' })
  assert.match(flags.text, /^\nkube-apiserver flags\n/)
  assert.match(flags.text, /\nmax-mutating-requests-inflight=3\nmax-requests-inflight=7\n/)
  const as = (kind: string, version = 'v1beta1') => ({
    accept: `application/json;v=${version};g=config.k8s.io;as=${kind}`,
  })
  const status = (await send(server, 'GET /statusz', undefined, as('Statusz'))).json
  assert.deepEqual([status['kind'], status['apiVersion']], ['Statusz', 'config.k8s.io/v1beta1'])
  assert.deepEqual(status['metadata'], { name: 'kube-apiserver' })
  assert.equal(status['uptimeSeconds'], 3661)
  const old = await send(server, 'GET /flagz', undefined, as('Flagz', 'v1alpha1'))
  assert.deepEqual(old.headers['warning'], [
    '299 - "This version of the flagz endpoint is deprecated. Please use a newer version."',
  ])
  const flagz = old.json
  assert.equal(flagz['apiVersion'], 'config.k8s.io/v1alpha1')
  assert.equal((flagz['flags'] as Record<string, string>)['request-timeout'], '60s')
  const bare = await send(server, 'GET /statusz', undefined, { accept: 'application/json' })
  assert.equal(bare.status, 406)
})

test('componentstatuses shows the parts of the control plane, and nothing else', async () => {
  const { server } = await testServer({
    readyChecks: { 'poststarthook/x': () => undefined },
    components: {
      'controller-manager': () => undefined,
      scheduler() {
        throw new Error('it has not started')
      },
    },
  })
  const list = (await send(server, 'GET /api/v1/componentstatuses')).json
  const healthy = { type: 'Healthy', status: 'True', message: 'ok' }
  assert.deepEqual(list['items'], [
    { metadata: { name: 'controller-manager' }, conditions: [healthy] },
    {
      metadata: { name: 'scheduler' },
      conditions: [{ type: 'Healthy', status: 'False', message: 'it has not started' }],
    },
    { metadata: { name: 'etcd-0' }, conditions: [healthy] },
  ])
  const one = (await send(server, 'GET /api/v1/componentstatuses/etcd-0')).json
  assert.equal(one['kind'], 'ComponentStatus')
})
