import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { EndpointSlice, Service } from '#api'
import { virtualEnv } from '#base'
import { createClient, type ApiRequest } from '#client'
import { type KubeObject, StatusError } from '#machinery'
import { dnsService, dnsSlice, publishDns } from './publish.ts'

/** An API of named objects, which can refuse the first calls. */
function api(refusals = 0) {
  const objects = new Map<string, KubeObject>()
  let left = refusals
  const path = ({ method, path: at, body }: ApiRequest): string =>
    method === 'POST' ? `${at}/${(body as KubeObject).metadata.name}` : at
  const client = createClient({
    async request(request) {
      if (left-- > 0) throw new Error('the namespace is not there yet')
      const key = path(request)
      if (request.method === 'DELETE') objects.delete(key)
      else if (request.method !== 'GET') objects.set(key, request.body as KubeObject)
      const found = objects.get(key)
      if (found === undefined && request.method === 'GET')
        throw new StatusError('NotFound', 'not there')
      return found
    },
    watch: async () => {
      throw new Error('nothing watches here')
    },
  })
  return { client, objects }
}

const SERVICE = '/api/v1/namespaces/kube-system/services/kube-dns'
const SLICE = '/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices/kube-dns-n1'
const publication = { clusterIP: '10.96.0.10', nodeName: 'n1', address: '10.244.0.1', port: 53 }

test('the name server becomes a Service without a selector, with a slice of this node', async () => {
  const { client, objects } = api()
  const env = virtualEnv()
  await publishDns({ ...publication, client, env }, new AbortController().signal)
  const service = objects.get(SERVICE) as Service
  assert.equal(service.spec.clusterIP, '10.96.0.10')
  assert.equal(service.spec.selector, undefined)
  const slice = objects.get(SLICE) as EndpointSlice
  assert.deepEqual(slice.endpoints?.[0]?.addresses, ['10.244.0.1'])
  assert.deepEqual(
    slice.ports?.map(({ protocol }) => protocol),
    ['UDP', 'TCP'],
  )
})

test('it tries again until the namespace is there', async () => {
  const { client, objects } = api(3)
  const env = virtualEnv()
  const done = publishDns({ ...publication, client, env }, new AbortController().signal)
  await env.advance(2_000)
  await done
  assert.ok(objects.has(SERVICE) && objects.has(SLICE))
})

test('another port after a restart is told, and nothing is written when all is as it was', async () => {
  const { client, objects } = api()
  const env = virtualEnv()
  const { signal } = new AbortController()
  await publishDns({ ...publication, client, env }, signal)
  const first = objects.get(SLICE)
  await publishDns({ ...publication, client, env }, signal)
  assert.equal(objects.get(SLICE), first)
  await publishDns({ ...publication, port: 40_000, client, env }, signal)
  assert.equal((objects.get(SLICE) as EndpointSlice).ports?.[0]?.port, 40_000)
})

test('a name server that the cluster runs as pods is left alone', async () => {
  const { client, objects } = api()
  const own = dnsService('10.96.0.11')
  objects.set(SERVICE, {
    ...own,
    spec: { ...own.spec, selector: { app: 'coredns' } },
  } as unknown as Service)
  await publishDns({ ...publication, client, env: virtualEnv() }, new AbortController().signal)
  assert.equal((objects.get(SERVICE) as Service).spec.clusterIP, '10.96.0.11')
  assert.equal(objects.has(SLICE), false)
})

test('each node is meant for itself', () => {
  assert.deepEqual(dnsSlice(publication).endpoints?.[0]?.hints, { forNodes: [{ name: 'n1' }] })
})
