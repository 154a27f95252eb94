import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Service } from '#api'
import { testServer } from './server.testing.ts'
import { get, post, put, refused, remove } from './verbs.testing.ts'

test('services get an address of their own, which comes back when they go', async () => {
  const { api } = await testServer({ serviceRange: '10.0.0.0/28' })
  const path = '/api/v1/namespaces/shop/services'
  const service = (name: string, spec: object = {}) => ({
    metadata: { name },
    spec: { ports: [{ port: 80 }], ...spec },
  })
  const taken = new Set<string>()
  for (let i = 0; i < 14; i++) {
    const made = await post<Service>(api, path, service(`s${i}`))
    taken.add(made.spec?.clusterIP ?? '')
    assert.deepEqual(made.spec?.clusterIPs, [made.spec?.clusterIP])
  }
  assert.equal(taken.size, 14)
  await assert.rejects(post(api, path, service('full')), refused('InternalError', /range is full/))
  const first = await get<Service>(api, `${path}/s0`)
  await assert.rejects(
    post(api, path, service('x', { clusterIP: first.spec?.clusterIP })),
    refused('Invalid', /provided IP is already allocated/),
  )
  await remove(api, `${path}/s0`)
  const again = await post<Service>(api, path, service('x', { clusterIP: first.spec?.clusterIP }))
  assert.equal(again.spec?.clusterIP, first.spec?.clusterIP)
  await assert.rejects(
    post(api, path, service('y', { clusterIP: '192.168.0.1' })),
    refused('Invalid', /not in the valid range/),
  )
})

test('node ports are given, kept over updates, refused twice, and given back', async () => {
  const { api } = await testServer()
  const path = '/api/v1/namespaces/shop/services'
  const made = await post<Service>(api, path, {
    metadata: { name: 'a' },
    spec: { type: 'NodePort', ports: [{ port: 80 }] },
  })
  const nodePort = made.spec?.ports?.[0]?.nodePort ?? 0
  assert.ok(nodePort >= 30_000 && nodePort <= 32_767)
  const updated = await put<Service>(api, `${path}/a`, {
    metadata: { name: 'a' },
    spec: { type: 'NodePort', ports: [{ port: 80 }], selector: { a: 'b' } },
  })
  assert.equal(updated.spec?.ports?.[0]?.nodePort, nodePort)
  assert.equal(updated.spec?.clusterIP, made.spec?.clusterIP)
  const twin = {
    metadata: { name: 'b' },
    spec: { type: 'NodePort', ports: [{ port: 1, nodePort }] },
  }
  await assert.rejects(
    post(api, path, twin),
    refused(
      'Invalid',
      /spec\.ports\[0\]\.nodePort: Invalid value: \d+: provided port is already allocated/,
    ),
  )
  await put(api, `${path}/a`, {
    metadata: { name: 'a' },
    spec: { type: 'ClusterIP', ports: [{ port: 80 }] },
  })
  assert.equal((await post<Service>(api, path, twin)).spec?.ports?.[0]?.nodePort, nodePort)
})

test('addresses in use are known again after a start', async () => {
  const first = await testServer()
  const path = '/api/v1/namespaces/shop/services'
  const made = await post<Service>(first.api, path, {
    metadata: { name: 'a' },
    spec: { ports: [{ port: 80 }] },
  })
  const second = await testServer({ storage: first.storage })
  await assert.rejects(
    post(second.api, path, {
      metadata: { name: 'b' },
      spec: { clusterIP: made.spec?.clusterIP, ports: [{ port: 80 }] },
    }),
    refused('Invalid', /already allocated/),
  )
})
