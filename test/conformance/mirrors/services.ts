import assert from 'node:assert/strict'
import type { Json } from '../api.ts'
import { mirror, type Fixture } from '../mirror.ts'
import { change, frame, gone, names, pod, readyPods, refused, service } from '../support.ts'

const SLICES = '/apis/discovery.k8s.io/v1'
const slicesOf = async ({ api, namespace }: Fixture, name: string): Promise<Json[]> =>
  (
    await api.get(`${SLICES}/namespaces/${namespace}/endpointslices`, {
      labelSelector: `kubernetes.io/service-name=${name}`,
    })
  )['items']

mirror(
  '[sig-network] Services should find a service from listing all namespaces [Conformance]',
  async ({ api }) => {
    const { items } = await api.get('/api/v1/services')
    assert.ok(
      items.some(
        ({ metadata }: Json) => metadata.name === 'kubernetes' && metadata.namespace === 'default',
      ),
    )
  },
)

const noPods = service('example-empty-selector', {
  selector: { 'does-not-match-anything': 'endpoints-and-endpoint-slices-should-still-be-created' },
  ports: [{ name: 'example', port: 80, protocol: 'TCP' }],
})

mirror(
  '[sig-network] EndpointSlice should create and delete EndpointSlices for a Service with a selector that matches no pods [Conformance]',
  async (fixture) => {
    const { api, ns, until } = fixture
    await api.post(ns('services'), noPods)
    const slices = await until('the slice exists', async () => {
      const found = await slicesOf(fixture, 'example-empty-selector')
      return found.length > 0 && found
    })
    assert.equal(slices.length, 1)
    assert.equal(
      slices[0]?.['metadata'].labels['endpointslice.kubernetes.io/managed-by'],
      'endpointslice-controller.k8s.io',
    )
    assert.equal(slices[0]?.['endpoints']?.length ?? 0, 0)
    await api.delete(ns('services/example-empty-selector'))
    await until(
      'the slice goes',
      async () => (await slicesOf(fixture, 'example-empty-selector')).length === 0,
    )
  },
)

mirror(
  '[sig-network] EndpointsController should create and delete Endpoints for a Service with a selector that matches no pods [Conformance]',
  async ({ api, ns, until }) => {
    const path = ns('endpoints/example-empty-selector')
    await api.post(ns('services'), noPods)
    await until('the endpoints exist', async () => !(await gone(api, path)))
    assert.deepEqual((await api.get(path))['subsets'] ?? [], [])
    await api.delete(ns('services/example-empty-selector'))
    await until('the endpoints go', () => gone(api, path))
  },
)

mirror(
  '[sig-network] EndpointSliceMirroring should mirror a custom Endpoints resource through create update and delete [Conformance]',
  async (fixture) => {
    const { api, ns, until } = fixture
    await api.post(
      ns('services'),
      service('example-custom-endpoints', {
        ports: [{ name: 'example', port: 80, protocol: 'TCP' }],
      }),
    )
    const subset = (...ips: string[]): Json => ({
      ports: [{ name: 'example', port: 80, protocol: 'TCP' }],
      addresses: ips.map((ip) => ({ ip })),
    })
    await api.post(ns('endpoints'), {
      apiVersion: 'v1',
      kind: 'Endpoints',
      metadata: { name: 'example-custom-endpoints' },
      subsets: [subset('10.1.2.3')],
    })
    const mirrored = (...ips: string[]): Promise<unknown> =>
      until(`the mirror has ${ips.join()}`, async () => {
        const [slice, ...more] = await slicesOf(fixture, 'example-custom-endpoints')
        if (slice === undefined || more.length > 0) return false
        assert.equal(
          slice['metadata'].labels['endpointslice.kubernetes.io/managed-by'],
          'endpointslicemirroring-controller.k8s.io',
        )
        return (
          slice['ports']?.length === 1 &&
          slice['ports'][0].port === 80 &&
          slice['endpoints']?.flatMap((e: Json) => e['addresses']).join() === ips.join()
        )
      })
    await mirrored('10.1.2.3')
    await change(api, ns('endpoints/example-custom-endpoints'), (object) => {
      object['subsets'] = [subset('10.2.3.4')]
    })
    await mirrored('10.2.3.4')
    await api.delete(ns('endpoints/example-custom-endpoints'))
    await until(
      'the mirror goes',
      async () => (await slicesOf(fixture, 'example-custom-endpoints')).length === 0,
    )
  },
)

const TWO_PODS = ['pod1', 'pod2']
const backend = (name: string, ports: Json[]): Json =>
  pod(name, {
    metadata: { labels: { foo: 'bar', [name]: 'yes' } },
    container: { ports },
  })

/** Two pods, with a port of one name and different numbers, behind a Service each and one for both. */
async function matchingPods(fixture: Fixture): Promise<Json[]> {
  const { api, ns } = fixture
  await api.post(
    ns('pods'),
    backend('pod1', [{ name: 'example-name', containerPort: 3000, protocol: 'TCP' }]),
  )
  await api.post(
    ns('pods'),
    backend('pod2', [
      { name: 'example-name', containerPort: 3001, protocol: 'TCP' },
      { name: 'other-port', containerPort: 3002, protocol: 'TCP' },
    ]),
  )
  const ports = [{ name: 'example', port: 80, targetPort: 'example-name', protocol: 'TCP' }]
  await api.post(
    ns('services'),
    service('example-int-port', {
      selector: { foo: 'bar', pod1: 'yes' },
      ports: [{ name: 'example', port: 80, targetPort: 3000, protocol: 'TCP' }],
      publishNotReadyAddresses: true,
    }),
  )
  await api.post(
    ns('services'),
    service('example-named-port', {
      selector: { foo: 'bar' },
      ports,
      publishNotReadyAddresses: true,
    }),
  )
  await api.post(
    ns('services'),
    service('example-no-match', {
      selector: { foo: 'nothing' },
      ports,
      publishNotReadyAddresses: true,
    }),
  )
  return readyPods(fixture, 'foo=bar', 2)
}

const byName = (pods: readonly Json[], name: string): Json =>
  pods.find((each) => each['metadata'].name === name) as Json

mirror(
  '[sig-network] EndpointsController should create Endpoints for Pods matching a Service [Conformance]',
  async (fixture) => {
    const { api, ns, until } = fixture
    const pods = await matchingPods(fixture)
    const [one, two] = TWO_PODS.map((name) => byName(pods, name)['status'].podIP as string)
    const shown = async (name: string): Promise<string> => {
      const answer = await api.call('GET', ns(`endpoints/${name}`))
      return JSON.stringify(
        (answer.json['subsets'] ?? [])
          .flatMap((s: Json) =>
            s['addresses'].flatMap((a: Json) =>
              s['ports'].map((p: Json) => `${a['ip']}:${p['port']}/${p['name']}`),
            ),
          )
          .toSorted(),
      )
    }
    const expected: readonly (readonly [string, readonly string[]])[] = [
      ['example-int-port', [`${one}:3000/example`]],
      ['example-named-port', [`${one}:3000/example`, `${two}:3001/example`].toSorted()],
      ['example-no-match', []],
    ]
    for (const [name, addresses] of expected)
      await until(
        `${name} has ${addresses.join()}`,
        async () => (await shown(name)) === JSON.stringify(addresses),
      )
    const { subsets } = await api.get(ns('endpoints/example-int-port'))
    const target = subsets[0].addresses[0].targetRef
    assert.deepEqual([target.kind, target.name], ['Pod', 'pod1'])
  },
)

mirror(
  '[sig-network] EndpointSlice should create Endpoints and EndpointSlices for Pods matching a Service [Conformance]',
  async (fixture) => {
    const { api, ns, until } = fixture
    const pods = await matchingPods(fixture)
    const expected: readonly (readonly [string, readonly (readonly [string, number])[]])[] = [
      ['example-int-port', [['pod1', 3000]]],
      [
        'example-named-port',
        [
          ['pod1', 3000],
          ['pod2', 3001],
        ],
      ],
    ]
    for (const [name, backends] of expected) {
      await until(`slices of ${name}`, async () => {
        const slices = await slicesOf(fixture, name)
        const endpoints = slices.flatMap((s) => (s['endpoints'] ?? []) as Json[])
        return (
          endpoints.length === backends.length &&
          endpoints.every((e) => e['conditions'].ready === true)
        )
      })
      const slices = await slicesOf(fixture, name)
      for (const slice of slices) {
        const { metadata } = slice
        assert.equal(slice['addressType'], 'IPv4')
        assert.equal(
          metadata.labels['endpointslice.kubernetes.io/managed-by'],
          'endpointslice-controller.k8s.io',
        )
        assert.equal(metadata.ownerReferences[0].kind, 'Service')
        assert.equal(metadata.ownerReferences[0].name, name)
        assert.match(metadata.name, new RegExp(`^${name}-`))
      }
      for (const [podName, port] of backends) {
        const found = byName(pods, podName)
        const slice = slices.find((s) =>
          s['endpoints'].some((e: Json) => e['targetRef'].name === podName),
        ) as Json
        const endpoint = slice['endpoints'].find((e: Json) => e['targetRef'].name === podName)
        assert.deepEqual(
          slice['ports'].map((p: Json) => [p['name'], p['port'], p['protocol']]),
          [['example', port, 'TCP']],
        )
        assert.deepEqual(endpoint.addresses, [found['status'].podIP])
        assert.deepEqual(endpoint.conditions, { ready: true, serving: true, terminating: false })
        assert.equal(endpoint.nodeName, found['spec'].nodeName)
        assert.equal(endpoint.targetRef.kind, 'Pod')
        assert.equal(endpoint.targetRef.namespace, fixture.namespace)
        assert.equal(endpoint.targetRef.uid, found['metadata'].uid)
      }
      const { subsets } = await api.get(ns(`endpoints/${name}`))
      assert.equal(
        subsets.flatMap((s: Json) => s['addresses']).length,
        backends.length,
        `endpoints of ${name}`,
      )
    }
    await until(
      'a slice that nothing matches',
      async () => (await slicesOf(fixture, 'example-no-match')).length === 1,
    )
    const [empty] = await slicesOf(fixture, 'example-no-match')
    assert.equal(empty?.['endpoints']?.length ?? 0, 0)
    assert.equal(empty?.['ports']?.length ?? 0, 0)
    // Deleted slices come again.
    for (const { metadata } of await slicesOf(fixture, 'example-named-port'))
      await api.delete(`${SLICES}/namespaces/${fixture.namespace}/endpointslices/${metadata.name}`)
    await until('the slices are there again', async () => {
      const slices = await slicesOf(fixture, 'example-named-port')
      return (
        slices.length === 2 && slices.flatMap((s) => (s['endpoints'] ?? []) as Json[]).length === 2
      )
    })
  },
)

mirror(
  '[sig-network] Service endpoints latency should not be very high [Conformance]',
  async (fixture) => {
    const { api, ns, profile } = fixture
    await api.post(ns('replicationcontrollers'), {
      apiVersion: 'v1',
      kind: 'ReplicationController',
      metadata: { name: 'svc-latency-rc' },
      spec: {
        replicas: 1,
        selector: { name: 'svc-latency-rc' },
        template: {
          metadata: { labels: { name: 'svc-latency-rc' } },
          spec: { containers: [{ name: 'c', image: 'registry.k8s.io/pause:3.10.1' }] },
        },
      },
    })
    await readyPods(fixture, 'name=svc-latency-rc', 1)
    const total = profile === 'fast' ? 60 : 200
    const took: number[] = []
    const watching = await api.watch(ns('endpoints'))
    const seen = new Map<string, number>()
    const made = new Map<string, number>()
    const make = async (i: number): Promise<void> => {
      const created = await api.post(
        ns('services'),
        service(`latency-svc-${i}`, {
          selector: { name: 'svc-latency-rc' },
          ports: [{ port: 80, protocol: 'TCP' }],
        }),
      )
      made.set(created['metadata'].name, performance.now())
      await frameOf(created['metadata'].name)
    }
    const frameOf = async (name: string): Promise<void> => {
      for (;;) {
        const found = watching.frames.find(
          ({ object }) =>
            object['metadata'].name === name &&
            (object['subsets'] ?? []).some((s: Json) => s['addresses']?.length > 0),
        )
        if (found !== undefined) {
          seen.set(name, performance.now())
          return
        }
        if (performance.now() - (made.get(name) ?? 0) > 60_000)
          throw new Error(`No endpoints of ${name} within a minute`)
        await new Promise((resolve) => {
          setImmediate(resolve)
        })
      }
    }
    // Fifteen at a time, as the test does.
    const queue = Array.from({ length: total }, (_, i) => i)
    await Promise.all(
      Array.from({ length: 15 }, async () => {
        for (let i = queue.shift(); i !== undefined; i = queue.shift()) await make(i)
      }),
    )
    for (const [name, at] of seen) took.push(at - (made.get(name) ?? 0))
    took.sort((a, b) => a - b)
    const quantile = (q: number): number => took[Math.floor(q * (took.length - 1))] ?? 0
    assert.equal(took.length, total)
    assert.ok(quantile(0.5) < 20_000, `median ${quantile(0.5)} ms`)
    assert.ok(quantile(0.99) < 50_000, `99th percentile ${quantile(0.99)} ms`)
    watching.stop()
  },
)

const NETWORKING = '/apis/networking.k8s.io/v1'

mirror(
  '[sig-network] ServiceCIDR and IPAddress API should support ServiceCIDR API operations [Conformance]',
  async ({ api, unique, until, cleanUp }) => {
    const path = `${NETWORKING}/servicecidrs`
    const name = unique('svc-cidr')
    const made = {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'ServiceCIDR',
      metadata: { name, labels: { 'test-service-cidr': name } },
      spec: { cidrs: ['2001:db8:7777::/112'] },
    }
    const discovered = await api.get(NETWORKING)
    for (const resource of ['servicecidrs', 'servicecidrs/status'])
      assert.ok(
        discovered['resources'].some((r: Json) => r['name'] === resource),
        resource,
      )
    assert.equal((await api.get(`${path}/kubernetes`))['metadata'].name, 'kubernetes')
    const created = await api.post(path, made)
    cleanUp(() => api.delete(`${path}/${name}`))
    assert.deepEqual(created['spec'].cidrs, made.spec.cidrs)
    // The ranges stay as they are.
    const moved = await api.call('PATCH', `${path}/${name}`, {
      body: { spec: { cidrs: ['2001:db8:8888::/112'] } },
      headers: { 'content-type': 'application/merge-patch+json' },
    })
    assert.equal(moved.status, 422)
    const listed = await api.get(path, { labelSelector: `test-service-cidr=${name}` })
    assert.deepEqual(names(listed), [name])
    await until('it is ready', async () =>
      (await api.get(`${path}/${name}`))['status']?.conditions?.some(
        (c: Json) => c['type'] === 'Ready' && c['status'] === 'True',
      ),
    )
    const watching = await api.watch(path, { labelSelector: `test-service-cidr=${name}` })
    await frame(watching, 'ADDED', name)
    const patched = await api.patch(
      `${path}/${name}`,
      { metadata: { annotations: { patched: 'true' } } },
      'merge',
    )
    assert.equal(patched['metadata'].annotations.patched, 'true')
    await frame(watching, 'MODIFIED', name)
    const updated = await change(api, `${path}/${name}`, (object) => {
      object['metadata'].annotations.updated = 'true'
    })
    assert.equal(updated['metadata'].annotations.updated, 'true')
    const status = await api.patch(
      `${path}/${name}/status`,
      {
        metadata: { annotations: { patchedstatus: 'true' } },
        status: {
          conditions: [
            {
              type: 'PatchedStatus',
              status: 'True',
              reason: 'Test',
              message: '',
              lastTransitionTime: '2026-01-01T00:00:00Z',
            },
          ],
        },
      },
      'merge',
    )
    assert.equal(status['metadata'].annotations.patchedstatus, 'true')
    assert.ok(status['status'].conditions.some((c: Json) => c['type'] === 'PatchedStatus'))
    const replaced = await change(
      api,
      `${path}/${name}`,
      (object) => {
        object['status'].conditions = [
          {
            type: 'UpdatedStatus',
            status: 'True',
            reason: 'Test',
            message: '',
            lastTransitionTime: '2026-01-01T00:00:00Z',
          },
        ]
      },
      `${path}/${name}/status`,
    )
    assert.ok(replaced['status'].conditions.some((c: Json) => c['type'] === 'UpdatedStatus'))
    await api.delete(`${path}/${name}`)
    await until('it is gone', () => gone(api, `${path}/${name}`))
    watching.stop()
    await api.delete(path, undefined, { labelSelector: `test-service-cidr=${name}` })
  },
)

mirror(
  '[sig-network] ServiceCIDR and IPAddress API should support IPAddress API operations [Conformance]',
  async ({ api, unique, cleanUp }) => {
    const path = `${NETWORKING}/ipaddresses`
    const mark = unique('ip')
    const made = (name: string): Json => ({
      apiVersion: 'networking.k8s.io/v1',
      kind: 'IPAddress',
      metadata: { name, labels: { mark } },
      spec: {
        parentRef: { group: '', resource: 'services', namespace: 'foo', name: 'bar' },
      },
    })
    const selector = { labelSelector: `mark=${mark}` }
    cleanUp(() => api.delete(path, undefined, selector))
    const [first, second] = [
      `2001:db8:${process.pid.toString(16)}::1`,
      `2001:db8:${process.pid.toString(16)}::2`,
    ]
    const created = await api.post(path, made(first))
    assert.equal(created['spec'].parentRef.name, 'bar')
    await refused(api, 'POST', path, made('2001:0db8::1'), 422)
    assert.equal((await api.get(`${path}/${first}`))['metadata'].uid, created['metadata'].uid)
    assert.deepEqual(names(await api.get(path, selector)), [first])
    const watching = await api.watch(path, selector)
    await frame(watching, 'ADDED', first)
    const patched = await api.patch(
      `${path}/${first}`,
      { metadata: { annotations: { patched: 'true' } } },
      'merge',
    )
    assert.equal(patched['metadata'].annotations.patched, 'true')
    await frame(watching, 'MODIFIED', first)
    const updated = await change(api, `${path}/${first}`, (object) => {
      object['metadata'].annotations.updated = 'true'
    })
    assert.equal(updated['metadata'].annotations.updated, 'true')
    await api.delete(`${path}/${first}`)
    await frame(watching, 'DELETED', first)
    await api.post(path, made(second))
    await api.delete(path, undefined, selector)
    await frame(watching, 'DELETED', second)
    assert.equal((await api.get(path, selector))['items'].length, 0)
    watching.stop()
  },
)
