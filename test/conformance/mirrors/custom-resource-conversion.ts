import assert from 'node:assert/strict'
import type { Json } from '../api.ts'
import { define, DEFINITIONS, OPEN, version, type Custom } from '../custom.ts'
import { localService } from '../local-service.ts'
import { mirror, type Fixture } from '../mirror.ts'

const title = (what: string): string =>
  `[sig-api-machinery] CustomResourceConversionWebhook [Privileged:ClusterAdmin] ${what} [Conformance]`

/** v1 has `hostPort`, v2 has `host` and `port`. */
function converted(object: Json, apiVersion: string): Json {
  if (object['apiVersion'] === apiVersion) return object
  const { hostPort = '', host, port, ...rest } = object
  if (apiVersion.endsWith('/v1')) return { ...rest, apiVersion, hostPort: `${host}:${port}` }
  const [first, second] = String(hostPort).split(':')
  return { ...rest, apiVersion, host: first, port: second }
}

/** A definition whose objects a server of this process converts, asked as a Service. */
async function converting(fixture: Fixture, versions: readonly Json[]): Promise<Custom> {
  const { namespace, skip } = fixture
  const { address, caBundle } = await localService(fixture, {
    name: 'e2e-test-crd-conversion-webhook',
    port: 9443,
    answer(_request, response, body) {
      const { apiVersion, kind, request } = JSON.parse(body) as Json
      const { uid, desiredAPIVersion, objects } = request as Json
      const convertedObjects = objects.map((each: Json) => converted(each, desiredAPIVersion))
      response.setHeader('content-type', 'application/json')
      response.end(
        JSON.stringify({
          apiVersion,
          kind,
          response: { uid, convertedObjects, result: { status: 'Success' } },
        }),
      )
    },
  })
  if (address === undefined) skip('this machine has no address that the API server could reach')
  return define(fixture, versions, {
    spec: {
      conversion: {
        strategy: 'Webhook',
        webhook: {
          clientConfig: {
            caBundle,
            service: {
              namespace,
              name: 'e2e-test-crd-conversion-webhook',
              path: '/crdconvert',
              port: 9443,
            },
          },
          conversionReviewVersions: ['v1', 'v1beta1'],
        },
      },
    },
  })
}

const inFirst = (object: Json): void => {
  assert.equal(object['hostPort'], 'localhost:8080')
  assert.equal(object['host'], undefined)
}
const inSecond = (object: Json): void => {
  assert.deepEqual([object['host'], object['port']], ['localhost', '8080'])
  assert.equal(object['hostPort'], undefined)
}

mirror(title('should be able to convert from CR v1 to CR v2'), async (fixture) => {
  const { api } = fixture
  const custom = await converting(fixture, [version('v1', OPEN), version('v2', OPEN)])
  const made = custom.object('v1', 'cr-instance-1', { hostPort: 'localhost:8080' })
  await api.post(custom.path('v1'), made)
  inSecond(await api.get(`${custom.path('v2')}/cr-instance-1`))
})

mirror(title('should be able to convert a non homogeneous list of CRs'), async (fixture) => {
  const { api } = fixture
  const custom = await converting(fixture, [version('v1', OPEN), version('v2', OPEN)])
  const first = custom.object('v1', 'cr-instance-1', { hostPort: 'localhost:8080' })
  await api.post(custom.path('v1'), first)
  await api.patch(
    `${DEFINITIONS}/${custom.name}`,
    [
      { op: 'replace', path: '/spec/versions/0/storage', value: false },
      { op: 'replace', path: '/spec/versions/1/storage', value: true },
    ],
    'json',
  )
  const second = custom.object('v2', 'cr-instance-2', { host: 'localhost', port: '8080' })
  await api.post(custom.path('v2'), second)
  for (const [of, check] of [
    ['v1', inFirst],
    ['v2', inSecond],
  ] as const) {
    const { items } = (await api.get(custom.path(of))) as { items: Json[] }
    assert.equal(items.length, 2)
    for (const item of items) {
      assert.equal(item['apiVersion'], `${custom.group}/${of}`)
      check(item)
    }
  }
})

mirror(
  '[sig-api-machinery] CustomResourceFieldSelectors [Privileged:ClusterAdmin] CustomResourceFieldSelectors MUST list and watch custom resources matching the field selector [Conformance]',
  async (fixture) => {
    const { api } = fixture
    const string = { type: 'string' }
    const custom = await converting(fixture, [
      version(
        'v1',
        { type: 'object', properties: { hostPort: string } },
        { selectableFields: [{ jsonPath: '.hostPort' }] },
      ),
      version(
        'v2',
        { type: 'object', properties: { host: string, port: string } },
        { selectableFields: [{ jsonPath: '.host' }, { jsonPath: '.port' }] },
      ),
    ])
    const cases = [
      ['v1', 'hostPort=host1:80'],
      ['v2', 'host=host1,port=80'],
    ] as const
    const watches = await Promise.all(
      cases.map(async ([of, fieldSelector]) => api.watch(custom.path(of), { fieldSelector })),
    )
    const hosts = ['host1:80', 'host1:8080', 'host2:80']
    for (const [i, hostPort] of hosts.entries())
      await api.post(custom.path('v1'), custom.object('v1', `cr-${i}`, { hostPort }))
    for (const [of, fieldSelector] of cases) {
      const { items } = (await api.get(custom.path(of), { fieldSelector })) as { items: Json[] }
      assert.deepEqual(
        items.map((item) => item['metadata'].name),
        ['cr-0'],
        of,
      )
    }
    const steps: readonly (readonly [string, string, () => Promise<unknown>])[] = [
      ['ADDED', 'cr-0', async () => undefined],
      [
        'ADDED',
        'cr-1',
        () => api.patch(`${custom.path('v1')}/cr-1`, { hostPort: 'host1:80' }, 'merge'),
      ],
      ['DELETED', 'cr-1', () => api.patch(`${custom.path('v2')}/cr-1`, { port: '81' }, 'merge')],
      ['DELETED', 'cr-0', () => api.delete(`${custom.path('v2')}/cr-0`)],
    ]
    for (const [wanted, name, change] of steps) {
      await change()
      for (const watching of watches)
        await watching.next(
          `${name} ${wanted}`,
          ({ type, object }) => type === wanted && object['metadata'].name === name,
        )
    }
    for (const [i, [of]] of cases.entries()) {
      const { frames = [] } = watches[i] ?? {}
      assert.deepEqual(
        frames.map(({ type, object }) => [type, object['metadata'].name]),
        steps.map(([type, name]) => [type, name]),
        of,
      )
      watches[i]?.stop()
    }
  },
)
