import assert from 'node:assert/strict'
import { test } from 'node:test'
import { send, testServer, type Answer, type TestServer } from '../server.testing.ts'

const DEPLOYMENTS = '/apis/apps/v1/namespaces/shop/deployments'
const WEB = `${DEPLOYMENTS}/web`

const web = {
  metadata: { name: 'web' },
  spec: {
    selector: { matchLabels: { app: 'web' } },
    template: {
      metadata: { labels: { app: 'web' } },
      spec: { containers: [{ name: 'main', image: 'web:1' }] },
    },
  },
}

async function serverWithWeb(): Promise<TestServer> {
  const made = await testServer()
  assert.equal((await send(made.server, `POST ${DEPLOYMENTS}`, web)).status, 201)
  return made
}

const patch = ({ server }: TestServer, type: string, body: unknown): Promise<Answer> =>
  send(server, `PATCH ${WEB}?fieldValidation=Strict`, body, {
    'content-type': `application/${type}-patch+json`,
  })

for (const { type, body, message } of [
  {
    type: 'merge',
    body: '{"metadata":{"labels":null},"spec":{"foo":1,"foo":2}}',
    message:
      /^ "" is invalid: patch: Invalid value: "\{.*\}": strict decoding error: duplicate field "spec\.foo", unknown field "spec\.foo"$/,
  },
  {
    type: 'merge',
    body: { spec: { replicas: 'x' } },
    message:
      /^ "" is invalid: patch: Invalid value: "\{.*\}": json: cannot unmarshal string into Go struct field DeploymentSpec\.spec\.replicas of type int32$/,
  },
  {
    type: 'strategic-merge',
    body: { spec: { foo: { b: [1, 'x'], a: true } } },
    message:
      /^ "" is invalid: patch: Invalid value: "map\[spec:map\[foo:map\[a:true b:\[1 x\]\]\]\]": strict decoding error: unknown field "spec\.foo"$/,
  },
  {
    type: 'strategic-merge',
    body: { spec: { replicas: 'x' } },
    message: /Invalid value: "map\[spec:map\[replicas:x\]\]": unrecognized type: int32$/,
  },
  {
    type: 'strategic-merge',
    body: { spec: { template: { spec: { nodeName: 1 } } } },
    message: /: cannot convert int64 to string$/,
  },
  {
    type: 'strategic-merge',
    body: { spec: { template: { spec: { tolerations: 'none' } } } },
    message: /: cannot restore slice from string$/,
  },
  {
    type: 'json',
    body: [{ op: 'add', path: '/spec/foo', value: 1, values: 2 }],
    message:
      /: strict decoding error: json patch unknown field "\[0\]\.values", unknown field "spec\.foo"$/,
  },
  {
    type: 'json',
    body: [{ op: 'remove', path: '/spec/nothing' }],
    message: /^the server rejected our request due to an error in our request$/,
  },
  {
    type: 'merge',
    body: { metadata: { uid: 'other' } },
    message: /metadata\.uid: Invalid value: "other": field is immutable/,
  },
])
  test(`a ${type} patch is refused as invalid: ${JSON.stringify(body)}`, async () => {
    const { status, json } = await patch(await serverWithWeb(), type, body)
    assert.equal(status, 422)
    assert.equal(json['reason'], 'Invalid')
    assert.match(String(json['message']), message)
  })

test('a strategic patch may say another kind, as a scale by the name of what is scaled: the type stays', async () => {
  const made = await serverWithWeb()
  const body = { apiVersion: 'v1', kind: 'Secret', spec: { replicas: 2 } }
  const { status, json } = await patch(made, 'strategic-merge', body)
  assert.equal(status, 200)
  assert.deepEqual([json['apiVersion'], json['kind']], ['apps/v1', 'Deployment'])
  const scaled = await send(
    made.server,
    `PATCH ${WEB}/scale`,
    { kind: 'Deployment', metadata: { name: 'web', namespace: 'shop' }, spec: { replicas: 3 } },
    { 'content-type': 'application/strategic-merge-patch+json' },
  )
  assert.equal(scaled.status, 200)
  assert.deepEqual([scaled.json['kind'], scaled.json['spec']], ['Scale', { replicas: 3 }])
})

test('a lenient patch is warned of what it has too much', async () => {
  const { server } = await serverWithWeb()
  const { status, headers } = await send(
    server,
    `PATCH ${WEB}?fieldValidation=Warn`,
    [{ op: 'add', path: '/spec/foo', value: 1, values: 2 }],
    { 'content-type': 'application/json-patch+json' },
  )
  assert.equal(status, 200)
  assert.deepEqual(headers['warning'], [
    '299 - "json patch unknown field \\"[0].values\\""',
    '299 - "unknown field \\"spec.foo\\""',
  ])
})

test('a PUT and a DELETE that were meant for another object of the name are conflicts', async () => {
  const { server } = await serverWithWeb()
  const { uid } = (await send(server, `GET ${WEB}`)).json['metadata'] as { uid: string }
  const put = await send(server, `PUT ${WEB}`, { ...web, metadata: { name: 'web', uid: 'u' } })
  assert.equal(put.status, 409)
  assert.equal(
    put.json['message'],
    `Operation cannot be fulfilled on deployments.apps "web": StorageError: invalid object, Code: 4, Key: /registry/deployments/shop/web, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: u, UID in object meta: ${uid}`,
  )
  const gone = await send(server, `DELETE ${WEB}`, { preconditions: { uid: 'u' } })
  assert.equal(gone.status, 409)
  assert.equal(
    gone.json['message'],
    `Operation cannot be fulfilled on Deployment.apps "web": the UID in the precondition (u) does not match the UID in record (${uid}). The object might have been deleted and then recreated`,
  )
})

for (const { body, message } of [
  {
    body: '',
    message:
      "the object provided is unrecognized (must be of type Deployment): couldn't get version/kind; json parse error: unexpected end of JSON input (<empty>)",
  },
  {
    body: '{"a',
    message: `the object provided is unrecognized (must be of type Deployment): couldn't get version/kind; json parse error: unexpected end of JSON input ({"a)`,
  },
  {
    body: 'x',
    message:
      "the object provided is unrecognized (must be of type Deployment): couldn't get version/kind; json parse error: invalid character 'x' looking for beginning of value (78)",
  },
  {
    body: '{"kind":"Secret"}',
    message:
      'Secret in version "v1" cannot be handled as a Deployment: converting (v1.Secret) to (apps.Deployment): unknown conversion',
  },
  {
    body: '{"spec":{"replicas":"x"}}',
    message:
      'Deployment in version "v1" cannot be handled as a Deployment: json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32',
  },
])
  test(`a body that is no Deployment is refused: ${body}`, async () => {
    const { server } = await testServer()
    const { status, json } = await send(server, `POST ${DEPLOYMENTS}`, body)
    assert.equal(status, 400)
    assert.equal(json['message'], message)
  })
