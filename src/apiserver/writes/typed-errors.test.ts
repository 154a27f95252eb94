import assert from 'node:assert/strict'
import { test } from 'node:test'
import { send, testServer } from '../server.testing.ts'

const WEB = '/apis/apps/v1/namespaces/shop/deployments/web'

const withContainer = (container: object, spec: object = {}) => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'web' },
  spec: { template: { spec: { containers: [{ name: 'main', ...container }] } }, ...spec },
})

for (const { what, body, why } of [
  {
    what: 'an unknown field of a keyed item',
    body: withContainer({ ports: [{ containerPort: 80, foo: 1 }] }),
    why: '.spec.template.spec.containers[name="main"].ports[containerPort=80,protocol="TCP"].foo: field not declared in schema',
  },
  {
    what: 'several unknown fields',
    body: withContainer({}, { foo: 1, bar: 2 }),
    why: 'errors:\n  .spec.bar: field not declared in schema\n  .spec.foo: field not declared in schema',
  },
  {
    what: 'a number where text should be',
    body: withContainer({ env: [{ name: 'A', value: 1 }] }),
    why: '.spec.template.spec.containers[name="main"].env[name="A"].value: expected string, got &value.valueUnstructured{Value:1}',
  },
  {
    what: 'text where a number should be',
    body: withContainer({}, { replicas: 'two' }),
    why: '.spec.replicas: expected numeric (int or float), got string',
  },
  {
    what: 'an object where a list should be',
    body: withContainer({ env: { A: 'b' } }),
    why: '.spec.template.spec.containers[name="main"].env: expected list, got &{map[A:b]}',
  },
])
  test(`apply says where the configuration does not fit: ${what}`, async () => {
    const { server } = await testServer()
    const { status, json } = await send(server, `PATCH ${WEB}?fieldManager=m`, body, {
      'content-type': 'application/apply-patch+yaml',
    })
    assert.equal(status, 400)
    assert.equal(
      json['message'],
      `failed to create typed patch object (shop/web; apps/v1, Kind=Deployment): ${why}`,
    )
  })
