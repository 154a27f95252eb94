import assert from 'node:assert/strict'
import { createServer, type Server } from 'node:https'
import type { IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, test } from 'node:test'
import {
  type APIService,
  type CustomResourceDefinition,
  type EndpointSlice,
  type Service,
} from '#api'
import { realEnv, virtualEnv } from '#base'
import type { JsonObject } from '#machinery'
import { ensurePki, type Pki } from '../certificates/index.ts'
import { send, testServer, type TestServer } from '../server.testing.ts'
import { unreachable, withAvailability, PASSED, failedCheck, shownAddress } from './availability.ts'
import { createAggregator } from './index.ts'
import { AUTOMANAGED, changes, localServices } from './local.ts'
import { identityHeaders } from './proxy.ts'
import { describedOf, resourcesOf } from './remote-api.ts'

const apiService = (port?: number): APIService =>
  ({
    metadata: { name: 'v1.toys.example.com' },
    spec: {
      group: 'toys.example.com',
      version: 'v1',
      service: { namespace: 'shop', name: 'toys', ...(port === undefined ? {} : { port }) },
      groupPriorityMinimum: 2000,
      versionPriority: 10,
    },
  }) as unknown as APIService

test('a Service without the port, and one without endpoints, are told apart', () => {
  const service = { spec: { ports: [{ name: 'https', port: 443 }] } } as unknown as Service
  const slice = (ready: boolean, name = 'https') =>
    ({
      ports: [{ name, port: 8443 }],
      endpoints: [{ addresses: ['10.0.0.1'], conditions: { ready } }],
    }) as unknown as EndpointSlice
  const told = (api: APIService, of: Service | undefined, ...slices: EndpointSlice[]) => {
    const found = unreachable(api, { service: of, slices })
    return found && [found.status, found.reason, found.message]
  }
  const at = 'service/toys in "shop"'
  assert.deepEqual(told(apiService(), undefined), [
    'False',
    'ServiceNotFound',
    `${at} is not present`,
  ])
  assert.deepEqual(told(apiService(8443), service), [
    'False',
    'ServicePortError',
    `${at} is not listening on port 8443`,
  ])
  assert.deepEqual(told(apiService(), service), [
    'False',
    'EndpointsNotFound',
    `cannot find endpointslices for ${at}`,
  ])
  for (const other of [slice(false), slice(true, 'http')])
    assert.deepEqual(told(apiService(), service, other), [
      'False',
      'MissingEndpoints',
      `endpoints for ${at} have no addresses with port name "https"`,
    ])
  assert.equal(told(apiService(), service, slice(false), slice(true)), undefined)
})

test('a Service is told of by its address', () => {
  const at = { namespace: 'shop', called: 'toys', port: 443 }
  const shown = (spec: object): string => shownAddress({ spec } as unknown as Service, at)
  assert.equal(shown({ clusterIP: '10.96.0.7' }), '10.96.0.7:443')
  assert.equal(shown({ clusterIP: 'fd00::7' }), '[fd00::7]:443')
  assert.equal(shown({ clusterIP: 'None' }), 'toys.shop.svc:443')
  assert.equal(shown({ type: 'ExternalName', externalName: 'toys.example' }), 'toys.example:443')
})

test('the time of a condition is that of its last turn, and other conditions are kept', () => {
  const other = { type: 'Other', status: 'True' }
  const first = withAvailability([other], failedCheck('x'), 't1')
  assert.deepEqual(first, [
    other,
    {
      type: 'Available',
      status: 'False',
      reason: 'FailedDiscoveryCheck',
      message: 'failing or missing response from x',
      lastTransitionTime: 't1',
    },
  ])
  const second = withAvailability(first!, failedCheck('y'), 't2')
  assert.equal(second?.[1]?.lastTransitionTime, 't1')
  assert.equal(second?.[1]?.message, 'failing or missing response from y')
  const third = withAvailability(second!, PASSED, 't3')
  assert.equal(third?.[1]?.lastTransitionTime, 't3')
  assert.equal(withAvailability(third!, PASSED, 't4'), undefined)
})

test('there is a local APIService for each group version, and none is made or removed twice', () => {
  const custom = {
    spec: {
      group: 'toys.example.com',
      versions: [
        { name: 'v1', served: true },
        { name: 'v0', served: false },
      ],
    },
  } as unknown as CustomResourceDefinition
  const wanted = localServices(
    [
      { group: '', version: 'v1' },
      { group: 'autoscaling', version: 'v2' },
      { group: 'apps', version: 'v1' },
      { group: 'apps', version: 'v1' },
      { group: 'apiregistration.k8s.io', version: 'v1' },
      // Another server brings its own.
      { group: 'metrics.k8s.io', version: 'v1beta1' },
    ],
    [custom],
  )
  assert.deepEqual([...wanted.keys()], ['v1.', 'v2.autoscaling', 'v1.apps', 'v1.toys.example.com'])
  assert.deepEqual(wanted.get('v2.autoscaling')?.spec, {
    group: 'autoscaling',
    version: 'v2',
    groupPriorityMinimum: 17_500,
    versionPriority: 30,
  })
  const there = [...wanted.values()].slice(1) as unknown as APIService[]
  const stale = structuredClone(there[0]!)
  Object.assign(stale.metadata, { name: 'v9.old', labels: { [AUTOMANAGED]: 'true' } })
  const foreign = structuredClone(stale)
  Object.assign(foreign.metadata, { name: 'v1.foreign', labels: {} })
  assert.deepEqual(
    changes(wanted, [...there, stale, foreign]).map((change) =>
      change.type === 'create' ? `+${change.service.metadata.name}` : `-${change.name}`,
    ),
    ['+v1.', '-v9.old'],
  )
})

test('a list of resources is read as aggregated discovery has it', () => {
  const list = {
    kind: 'APIResourceList',
    resources: [
      {
        name: 'toys',
        singularName: 'toy',
        namespaced: true,
        kind: 'Toy',
        verbs: ['get'],
        shortNames: ['t'],
      },
      {
        name: 'toys/scale',
        namespaced: true,
        kind: 'Scale',
        group: 'autoscaling',
        version: 'v1',
        verbs: ['get'],
      },
      { kind: 'Broken' },
    ],
  }
  assert.deepEqual(resourcesOf(list, 'g', 'v1'), [
    {
      resource: 'toys',
      responseKind: { group: 'g', version: 'v1', kind: 'Toy' },
      scope: 'Namespaced',
      singularResource: 'toy',
      verbs: ['get'],
      shortNames: ['t'],
      subresources: [
        {
          subresource: 'scale',
          responseKind: { group: 'autoscaling', version: 'v1', kind: 'Scale' },
          verbs: ['get'],
        },
      ],
    },
  ])
  assert.equal(resourcesOf('<html>', 'g', 'v1'), undefined)
})

test('of a description only the group version is taken, and what it leads to', () => {
  const ref = (name: string): JsonObject => ({ $ref: `#/definitions/${name}` })
  const described = describedOf(
    {
      paths: {
        '/apis/g/v1/toys': { get: ref('Toy') },
        '/apis/g/v1beta1/toys': {},
        '/version/': {},
      },
      definitions: {
        Toy: { properties: { part: ref('Part') } },
        Part: { items: ref('Toy') },
        Stranger: {},
        Kind: { 'x-kubernetes-group-version-kind': [{ group: 'g', version: 'v1', kind: 'Kind' }] },
      },
    },
    { group: 'g', version: 'v1' },
  )
  assert.deepEqual(Object.keys(described!.paths), ['/apis/g/v1/toys'])
  assert.deepEqual(Object.keys(described!.definitions), ['Toy', 'Part', 'Kind'])
})

test('who asks is said in headers that carry any name', () => {
  assert.deepEqual(
    identityHeaders({ name: 'jané', uid: 'u', groups: ['a', 'b'], extra: { 'x.io/Key': ['v'] } }),
    {
      'x-remote-user': Buffer.from('jané').toString('latin1'),
      'x-remote-uid': 'u',
      'x-remote-group': ['a', 'b'],
      'x-remote-extra-x.io%2fkey': ['v'],
    },
  )
})

// --- With another server -------------------------------------------------------------------------------

const real = realEnv()
let pki: Pki
let toys: Server
let port = 0
const asked: IncomingMessage[] = []

before(async () => {
  pki = await ensurePki(virtualEnv({ start: new Date() }), '/pki', {})
  const leaf = await pki.issue({
    subject: { commonName: 'toys' },
    usages: ['server'],
    names: ['toys.shop.svc'],
  })
  const pages: Readonly<Record<string, unknown>> = {
    '/apis/toys.example.com/v1': {
      kind: 'APIResourceList',
      groupVersion: 'toys.example.com/v1',
      resources: [{ name: 'toys', kind: 'Toy', namespaced: true, verbs: ['get', 'create'] }],
    },
    '/openapi/v2': {
      paths: { '/apis/toys.example.com/v1/toys': { get: { $ref: '#/definitions/Toy' } } },
      definitions: { Toy: { type: 'object' } },
    },
    '/openapi/v3': {
      paths: {
        'apis/toys.example.com/v1': {
          serverRelativeURL: '/openapi/v3/apis/toys.example.com/v1?hash=ABC',
        },
      },
    },
    '/openapi/v3/apis/toys.example.com/v1': { openapi: '3.0.0' },
  }
  toys = createServer(
    {
      cert: leaf.certificate,
      key: leaf.key,
      ca: pki.frontProxyAuthority.certificate,
      requestCert: true,
    },
    (request, response) => {
      asked.push(request)
      const { pathname, searchParams } = new URL(request.url ?? '', 'https://toys')
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('end', () => {
        response.setHeader('content-type', 'application/json')
        if (searchParams.has('watch')) {
          response.write('{"type":"ADDED","object":{"metadata":{"name":"a"}}}\n{"type":')
          response.end('"DELETED","object":{"metadata":{"name":"a"}}}\n')
          return
        }
        if (request.method === 'POST') {
          response.writeHead(201).end(Buffer.concat(chunks))
          return
        }
        const page = pages[pathname]
        response
          .writeHead(page === undefined ? 404 : 200)
          .end(JSON.stringify(page ?? { kind: 'Status', code: 404, reason: 'NotFound' }))
      })
    },
  )
  await new Promise<void>((resolve) => {
    toys.listen(0, '127.0.0.1', resolve)
  })
  ;({ port } = toys.address() as AddressInfo)
})
after(() => {
  toys.closeAllConnections()
  toys.close()
})

async function aggregated(): Promise<TestServer> {
  // Pods' addresses lead to this process.
  const net = {
    ...real.net,
    connect: () => real.net.connect({ host: '127.0.0.1', port }),
  }
  const env = { ...virtualEnv(), net }
  const bench = await testServer({
    extensions: ({ read }) => ({
      aggregator: createAggregator({ env, read, frontProxyClient: pki.frontProxyClient }),
    }),
  })
  const stop = new AbortController()
  after(() => stop.abort())
  bench.server.aggregator?.run({ transport: bench.api, builtIn: [], signal: stop.signal })
  const post = (path: string, body: JsonObject) => bench.api.request({ method: 'POST', path, body })
  await post('/api/v1/namespaces', { metadata: { name: 'shop' } })
  await post('/apis/apiregistration.k8s.io/v1/apiservices', {
    metadata: { name: 'v1.toys.example.com' },
    spec: {
      ...apiService().spec,
      caBundle: Buffer.from(pki.authority.certificate).toString('base64'),
    },
  })
  return bench
}

/** Resolves with the condition once it has this reason. */
async function condition({ api }: TestServer, reason: string): Promise<JsonObject> {
  const stop = new AbortController()
  const events = await api.watch({
    method: 'GET',
    path: '/apis/apiregistration.k8s.io/v1/apiservices',
    signal: stop.signal,
  })
  for await (const batch of events)
    for (const { object } of batch) {
      const found = (object as APIService).status?.conditions?.find(
        (each) => each.reason === reason,
      )
      if (found === undefined) continue
      stop.abort()
      return found as unknown as JsonObject
    }
  throw new Error('the watch has ended')
}

async function publish({ api }: TestServer): Promise<void> {
  const post = (path: string, body: JsonObject) => api.request({ method: 'POST', path, body })
  await post('/api/v1/namespaces/shop/services', {
    metadata: { name: 'toys' },
    spec: { ports: [{ name: 'https', port: 443, targetPort: 8443 }] },
  })
  await post('/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices', {
    metadata: { name: 'toys', labels: { 'kubernetes.io/service-name': 'toys' } },
    addressType: 'IPv4',
    ports: [{ name: 'https', port: 8443 }],
    endpoints: [{ addresses: ['10.1.2.3'] }],
  })
}

test('an API of another server is served as if it were ours', async () => {
  const bench = await aggregated()
  const { server, api } = bench
  const absent = await condition(bench, 'ServiceNotFound')
  assert.equal(absent['message'], 'service/toys in "shop" is not present')
  const refused = await send(server, 'GET /apis/toys.example.com/v1/toys')
  assert.deepEqual([refused.status, refused.text], [503, 'service unavailable\n'])
  await assert.rejects(api.request({ method: 'GET', path: '/apis/toys.example.com/v1/toys' }), {
    message: 'service unavailable',
    code: 503,
  })
  // Clients are told of what is not there, so that they can say so.
  const early = await send(server, 'GET /apis', undefined, {
    accept: 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList',
  })
  const stale = (early.json['items'] as { versions: JsonObject[] }[]).at(-1)
  assert.deepEqual(stale?.versions, [{ version: 'v1', freshness: 'Stale' }])

  await publish(bench)
  assert.equal((await condition(bench, 'Passed'))['message'], 'all checks passed')

  const made = await send(
    server,
    'POST /apis/toys.example.com/v1/namespaces/shop/toys?dryRun=All',
    { kind: 'Toy', metadata: { name: 'bear' } },
    { authorization: 'Bearer secret', 'x-remote-user': 'liar' },
  )
  assert.equal(made.status, 201)
  assert.deepEqual(made.json, { kind: 'Toy', metadata: { name: 'bear' } })
  const request = asked.at(-1)!
  assert.equal(request.url, '/apis/toys.example.com/v1/namespaces/shop/toys?dryRun=All')
  assert.equal(request.headers['x-remote-user'], 'admin')
  assert.equal(request.headers['x-remote-group'], 'system:masters, system:authenticated')
  assert.equal(request.headers.authorization, undefined)
  assert.equal(request.headers.host, 'toys.shop.svc:443')

  // Callers in the same process are given values.
  const path = '/apis/toys.example.com/v1/namespaces/shop/toys'
  assert.deepEqual(await api.request({ method: 'POST', path, body: { kind: 'Toy' } }), {
    kind: 'Toy',
  })
  const types: string[] = []
  for await (const batch of await api.watch({ method: 'GET', path }))
    for (const { type } of batch) types.push(type)
  assert.deepEqual(types, ['ADDED', 'DELETED'])

  const groups = (await send(server, 'GET /apis')).json['groups'] as JsonObject[]
  assert.equal(groups.at(-1)?.['name'], 'toys.example.com')
  const discovery = await send(server, 'GET /apis', undefined, {
    accept: 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList',
  })
  const item = (discovery.json['items'] as { metadata: JsonObject; versions: JsonObject[] }[]).at(
    -1,
  )
  assert.equal(item?.metadata['name'], 'toys.example.com')
  assert.equal(item?.versions[0]?.['freshness'], 'Current')
  const resources = (item?.versions[0] ?? {})['resources'] as JsonObject[]
  assert.equal(resources[0]?.['resource'], 'toys')

  const v2 = await send(server, 'GET /openapi/v2')
  const { paths, definitions: types2 } = v2.json as Record<string, JsonObject>
  assert.ok(paths?.['/apis/toys.example.com/v1/toys'] && paths['/api/v1/pods'] && types2?.['Toy'])
  const index = await send(server, 'GET /openapi/v3')
  assert.deepEqual((index.json['paths'] as JsonObject)['apis/toys.example.com/v1'], {
    serverRelativeURL: '/openapi/v3/apis/toys.example.com/v1?hash=ABC',
  })
  const v3 = await send(server, 'GET /openapi/v3/apis/toys.example.com/v1?hash=ABC')
  assert.deepEqual(v3.json, { openapi: '3.0.0' })

  await api.request({ method: 'DELETE', path: '/api/v1/namespaces/shop/services/toys' })
  await condition(bench, 'ServiceNotFound')
  assert.equal((await send(server, 'GET /apis/toys.example.com/v1/toys')).status, 503)
})
