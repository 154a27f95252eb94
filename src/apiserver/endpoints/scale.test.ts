import assert from 'node:assert/strict'
import { test } from 'node:test'
import { send, testServer } from '../server.testing.ts'

const DEPLOYMENTS = '/apis/apps/v1/namespaces/shop/deployments'
const APPLY = { 'content-type': 'application/apply-patch+yaml' }

interface Owner {
  readonly manager: string
  readonly operation: string
  readonly subresource?: string
  readonly fieldsV1: object
}

async function server() {
  const { server: made } = await testServer()
  const request = (line: string, body?: unknown, headers = {}) => send(made, line, body, headers)
  const web = {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'web' },
    spec: {
      replicas: 1,
      selector: { matchLabels: { app: 'web' } },
      template: {
        metadata: { labels: { app: 'web' } },
        spec: { containers: [{ name: 'main', image: 'web:1' }] },
      },
    },
  }
  await request(`PATCH ${DEPLOYMENTS}/web?fieldManager=app`, web, APPLY)
  const scale = (replicas: number | undefined, manager: string, more = '') =>
    request(
      `PATCH ${DEPLOYMENTS}/web/scale?fieldManager=${manager}${more}`,
      {
        apiVersion: 'autoscaling/v1',
        kind: 'Scale',
        metadata: { name: 'web' },
        ...(replicas === undefined ? {} : { spec: { replicas } }),
      },
      APPLY,
    )
  const owners = async (): Promise<readonly Owner[]> =>
    ((await request(`GET ${DEPLOYMENTS}/web`)).json['metadata'] as { managedFields: Owner[] })
      .managedFields
  return { request, scale, owners }
}

test('an applied scale owns the number, and asks before it takes it from another', async () => {
  const { scale, owners } = await server()
  const refused = await scale(3, 'scaler')
  assert.equal(refused.status, 409)
  assert.match(
    String(refused.json['message']),
    /^Apply failed with 1 conflict: conflict with "app"[^:]*: \.spec\.replicas$/,
  )
  const forced = await scale(3, 'scaler', '&force=true')
  assert.equal(forced.status, 200)
  assert.deepEqual(forced.json['spec'], { replicas: 3 })
  const scaler = (await owners()).find(({ manager }) => manager === 'scaler')
  assert.equal(scaler?.operation, 'Apply')
  assert.equal(scaler?.subresource, 'scale')
  assert.deepEqual(scaler?.fieldsV1, { 'f:spec': { 'f:replicas': {} } })
  assert.equal((await scale(undefined, 'scaler')).status, 200)
  assert.equal(
    (await owners()).some(({ manager }) => manager === 'scaler'),
    false,
  )
})

test('a configuration that is no scale is refused', async () => {
  const { request, scale } = await server()
  assert.equal((await scale(-1, 'scaler', '&force=true')).status, 422)
  const other = await request(
    `PATCH ${DEPLOYMENTS}/web/scale?fieldManager=a`,
    { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'web' } },
    APPLY,
  )
  assert.equal(other.status, 400)
})

test('ownership that is reset is nobody’s until somebody applies', async () => {
  const { request, owners } = await server()
  const merge = { 'content-type': 'application/merge-patch+json' }
  await request(`PATCH ${DEPLOYMENTS}/web`, { metadata: { managedFields: [{}] } }, merge)
  assert.equal(await owners(), undefined)
  await request(`PATCH ${DEPLOYMENTS}/web`, { spec: { replicas: 2 } }, merge)
  assert.equal(await owners(), undefined)
})
