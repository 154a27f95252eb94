import assert from 'node:assert/strict'
import { test } from 'node:test'
import { send, testServer } from '../server.testing.ts'

const PATH = '/apis/resource.k8s.io/v1'

test('expressions that choose devices are compiled before they are stored', async () => {
  const { server } = await testServer()
  const create = async (expression: string) => {
    const selectors = [{ cel: { expression } }]
    const { status, json } = await send(server, `POST ${PATH}/deviceclasses?dryRun=All`, {
      metadata: { name: 'gpu' },
      spec: { selectors },
    })
    return { status, message: String(json['message']) }
  }
  for (const good of [
    'device.driver == "gpu.example.com"',
    'device.attributes["gpu.example.com"].model == "a100" && device.allowMultipleAllocations',
    'device.capacity["gpu.example.com"].memory.compareTo(quantity("10Gi")) >= 0',
    'device.attributes["gpu.example.com"].version.isGreaterThan(semver("1.0.0"))',
    'cel.bind(a, device.attributes["gpu.example.com"], has(a.model) && a.model.startsWith("a"))',
    'device.attributes["gpu.example.com"].healthy',
  ]) {
    const { status, message } = await create(good)
    assert.equal(status, 201, `${good}: ${message}`)
  }
  const at =
    'DeviceClass.resource.k8s.io "gpu" is invalid: spec.selectors[0].cel.expression: Invalid value: '
  const unknown = await create('device.name == "x"')
  assert.equal(unknown.status, 422)
  assert.ok(
    unknown.message.startsWith(`${at}"device.name == \\"x\\"": compilation failed: ERROR: `),
  )
  assert.match(unknown.message, /undefined field 'name'/)
  const text = await create('device.driver')
  assert.equal(
    text.message,
    `${at}"device.driver": must evaluate to bool or the unknown type, not string`,
  )
})

test('so are those of claims and of their templates, wherever they are', async () => {
  const { server } = await testServer()
  const selectors = [{ cel: { expression: '1 +' } }]
  const devices = {
    requests: [
      { name: 'a', exactly: { deviceClassName: 'gpu', selectors } },
      { name: 'b', firstAvailable: [{ name: 'c', deviceClassName: 'gpu', selectors }] },
    ],
  }
  const refused = async (resource: string, spec: object): Promise<readonly unknown[]> => {
    const line = `POST ${PATH}/namespaces/default/${resource}?dryRun=All`
    const { json } = await send(server, line, { metadata: { name: 'x' }, spec })
    const { causes = [] } = (json['details'] ?? {}) as { causes?: { field: string }[] }
    return causes.map(({ field }) => field)
  }
  const [exactly, first] = [
    'devices.requests[0].exactly.selectors[0].cel.expression',
    'devices.requests[1].firstAvailable[0].selectors[0].cel.expression',
  ]
  assert.deepEqual(await refused('resourceclaims', { devices }), [
    `spec.${exactly}`,
    `spec.${first}`,
  ])
  assert.deepEqual(await refused('resourceclaimtemplates', { spec: { devices } }), [
    `spec.spec.${exactly}`,
    `spec.spec.${first}`,
  ])
})
