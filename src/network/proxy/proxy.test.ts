import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { EndpointSlice, Pod, Service } from '#api'
import { staleFlows, staleFlowsAtStart, unansweredConnections } from './conntrack.ts'
import { type Backend, desiredRules, type Frontend, noRules, type ServiceRules } from './desired.ts'
import { hostPortsOf } from './host-ports.ts'
import { Ledger } from './ledger.ts'
import { placeBackends } from './rule-set.ts'

const node = { nodeName: 'n1', zone: 'a' }
const meta = (name: string) => ({ name, namespace: 'shop' }) as Service['metadata']

const service = (spec: Partial<Service['spec']>, rest: Partial<Service> = {}): Service => ({
  metadata: meta('web'),
  spec: { clusterIP: '10.96.0.5', ports: [{ port: 80, name: 'http' }], ...spec },
  ...rest,
})

type Endpoint = NonNullable<EndpointSlice['endpoints']>[number]
const endpoint = (
  ip: string,
  conditions: Endpoint['conditions'] = { ready: true },
  rest: Partial<Endpoint> = {},
): Endpoint => ({
  addresses: [ip],
  conditions,
  nodeName: 'n1',
  ...rest,
})
const slice = (
  endpoints: readonly Endpoint[],
  rest: Partial<EndpointSlice> = {},
): EndpointSlice => ({
  metadata: meta('web-1'),
  addressType: 'IPv4',
  ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
  endpoints,
  ...rest,
})
const ending = { ready: false, serving: true, terminating: true }
const ips = (
  frontend: Frontend | undefined,
  side: 'verdict' | 'outside' = 'verdict',
): readonly string[] | string | undefined => {
  const verdict = frontend?.[side]
  return verdict?.kind === 'balance' ? verdict.backends.map(({ ip }) => ip) : verdict?.kind
}

test('a cluster IP is balanced over its ready endpoints, in every slice', () => {
  const rules = desiredRules(
    service({}),
    [
      slice([
        endpoint('10.244.0.3'),
        endpoint('10.244.0.2'),
        endpoint('10.244.0.4', { ready: false }),
      ]),
      slice([endpoint('10.244.0.2'), endpoint('10.244.0.9')], {
        ports: [{ name: 'http', port: 9090 }],
      }),
      slice([endpoint('10.244.0.8')], { ports: [{ name: 'other', port: 8080 }] }),
      slice([endpoint('fd00::1')], { addressType: 'IPv6' }),
    ],
    node,
  )
  assert.deepEqual(rules.frontends, [
    {
      address: '10.96.0.5',
      protocol: 'tcp',
      port: 80,
      verdict: {
        kind: 'balance',
        backends: [
          { ip: '10.244.0.2', port: 8080 },
          { ip: '10.244.0.2', port: 9090 },
          { ip: '10.244.0.3', port: 8080 },
          { ip: '10.244.0.9', port: 9090 },
        ],
      },
    },
  ])
  assert.deepEqual([...rules.readyIps].toSorted(), ['10.244.0.2', '10.244.0.3', '10.244.0.9'])
})

test('unknown readiness counts as ready', () => {
  const [frontend] = desiredRules(
    service({}),
    [slice([endpoint('10.244.0.2', {})])],
    node,
  ).frontends
  assert.deepEqual(ips(frontend), ['10.244.0.2'])
})

test('a Service without endpoints refuses', () => {
  assert.equal(ips(desiredRules(service({}), [], node).frontends[0]), 'refuse')
})

test('an ending endpoint serves only while nobody is ready, and never counts as ready', () => {
  const last = desiredRules(service({}), [slice([endpoint('10.244.0.2', ending)])], node)
  assert.deepEqual(ips(last.frontends[0]), ['10.244.0.2'])
  assert.equal(last.readyIps.size, 0)
  const both = desiredRules(
    service({}),
    [slice([endpoint('10.244.0.2', ending), endpoint('10.244.0.3')])],
    node,
  )
  assert.deepEqual(ips(both.frontends[0]), ['10.244.0.3'])
})

const remote = (ip: string): Endpoint => endpoint(ip, { ready: true }, { nodeName: 'n2' })

test('internalTrafficPolicy Local keeps to the node, also when it has nobody', () => {
  const local = service({ internalTrafficPolicy: 'Local' })
  const rules = desiredRules(local, [slice([remote('10.244.1.2'), endpoint('10.244.0.2')])], node)
  assert.deepEqual(ips(rules.frontends[0]), ['10.244.0.2'])
  assert.equal(
    ips(desiredRules(local, [slice([remote('10.244.1.2')])], node).frontends[0]),
    'refuse',
  )
})

test('externalTrafficPolicy Local concerns those outside; without a local endpoint they hear nothing', () => {
  const spec = {
    type: 'NodePort',
    externalTrafficPolicy: 'Local',
    ports: [{ port: 80, name: 'http', nodePort: 30080 }],
  } as const
  const nodePort = (slices: readonly EndpointSlice[]) =>
    desiredRules(service(spec), slices, node).frontends.find(({ address }) => address === undefined)
  const some = nodePort([slice([remote('10.244.1.2'), endpoint('10.244.0.2')])])
  assert.deepEqual(ips(some), ['10.244.0.2', '10.244.1.2'])
  assert.deepEqual(ips(some, 'outside'), ['10.244.0.2'])
  assert.equal(ips(nodePort([slice([remote('10.244.1.2')])]), 'outside'), 'drop')
  const none = nodePort([])
  assert.equal(ips(none), 'refuse')
  assert.equal(ips(none, 'outside'), undefined)
})

test('external addresses, load balancer addresses and node ports lead to the same endpoints', () => {
  const { frontends } = desiredRules(
    service(
      {
        type: 'LoadBalancer',
        externalIPs: ['192.0.2.1', 'bad', '10.96.0.5'],
        loadBalancerSourceRanges: ['198.51.100.0/24', '198.51.100.128/25'],
        ports: [{ port: 80, name: 'http', nodePort: 30080 }],
      },
      {
        status: {
          loadBalancer: {
            ingress: [
              { ip: '192.0.2.2' },
              { ip: '192.0.2.3', ipMode: 'Proxy' },
              { hostname: 'lb' },
            ],
          },
        },
      },
    ),
    [slice([endpoint('10.244.0.2')])],
    node,
  )
  assert.deepEqual(
    frontends.map(({ address, port, allowedSources }) => ({ address, port, allowedSources })),
    [
      { address: '10.96.0.5', port: 80, allowedSources: undefined },
      { address: undefined, port: 30080, allowedSources: undefined },
      { address: '192.0.2.1', port: 80, allowedSources: undefined },
      { address: '192.0.2.2', port: 80, allowedSources: ['198.51.100.0/24'] },
    ],
  )
  assert.ok(frontends.every((frontend) => ips(frontend)?.[0] === '10.244.0.2'))
})

test('headless Services, names for other hosts and those of another proxy have no rules', () => {
  for (const other of [
    service({ clusterIP: 'None' }),
    service({ type: 'ExternalName', externalName: 'example.com' }),
    service(
      {},
      { metadata: { ...meta('web'), labels: { 'service.kubernetes.io/service-proxy-name': 'x' } } },
    ),
  ])
    assert.deepEqual(desiredRules(other, [slice([endpoint('10.244.0.2')])], node), noRules)
})

test('topology hints count when every ready endpoint has them and one is near', () => {
  const hinted = (ip: string, zone: string): Endpoint =>
    endpoint(ip, { ready: true }, { hints: { forZones: [{ name: zone }] } })
  const near = (endpoints: readonly Endpoint[]) =>
    ips(desiredRules(service({}), [slice(endpoints)], node).frontends[0])
  assert.deepEqual(near([hinted('10.244.0.2', 'a'), hinted('10.244.0.3', 'b')]), ['10.244.0.2'])
  assert.deepEqual(near([hinted('10.244.0.2', 'a'), endpoint('10.244.0.3')]), [
    '10.244.0.2',
    '10.244.0.3',
  ])
  assert.deepEqual(near([hinted('10.244.0.3', 'b')]), ['10.244.0.3'])
})

const ip = (n: number): string => `10.244.0.${n}`
const anyBackends: fc.Arbitrary<readonly Backend[]> = fc
  .uniqueArray(fc.integer({ min: 1, max: 12 }), { maxLength: 8 })
  .map((list) => list.map((n) => ({ ip: ip(n), port: 8080 })))

test('backends that stay keep their slot, and slots have no gaps', () => {
  fc.assert(
    fc.property(anyBackends, anyBackends, (before, wanted) => {
      const placed = placeBackends(before, wanted)
      assert.deepEqual(new Set(placed), new Set(wanted))
      assert.equal(placed.length, wanted.length)
      const moved = placed.filter((backend, slot) => {
        const old = before.findIndex((other) => other.ip === backend.ip)
        return old >= 0 && old < wanted.length && old !== slot
      })
      assert.deepEqual(moved, [])
    }),
  )
})

/** What nft would hold: refuses what nft refuses. */
class Kernel {
  maps = new Map<string, Map<string, string>>()
  chains = new Set<string>()
  run(script: string): void {
    for (const line of script.split('\n')) {
      if (line.startsWith('delete table')) {
        this.maps.clear()
        this.chains.clear()
      }
      const chain = /^add chain ip t (\S+)$/.exec(line)?.[1]
      if (chain) this.chains.add(chain)
      const [, verb, map = '', list = ''] =
        /^(add|delete) element ip t (\S+) \{ (.*) \}$/.exec(line) ?? []
      for (const element of verb ? list.split(', ') : []) {
        const [key = '', value = ''] = element.split(' : ')
        const inside = this.maps.get(map) ?? new Map<string, string>()
        this.maps.set(map, inside)
        assert.equal(inside.has(key), verb === 'delete', `${verb} ${map} ${element}`)
        if (verb === 'delete') inside.delete(key)
        else inside.set(key, value)
        const target = /^goto (\S+)$/.exec(value)?.[1]
        if (target && verb === 'add') assert.ok(this.chains.has(target), `chain ${target}`)
      }
    }
  }
  state = (): unknown =>
    new Map(
      [...this.maps]
        .filter(([, inside]) => inside.size > 0)
        .map(([map, inside]) => [map, new Map(inside)]),
    )
}

const anyVerdict = fc.oneof(
  fc.constant({ kind: 'refuse' } as const),
  fc.record({
    kind: fc.constant('balance' as const),
    backends: anyBackends.filter((list) => list.length > 0),
  }),
  fc.record({
    kind: fc.constant('balance' as const),
    backends: anyBackends.filter((list) => list.length > 0),
    stickySeconds: fc.constantFrom(10, 3600),
  }),
)
const anyFrontend: fc.Arbitrary<Frontend> = fc
  .record({
    address: fc.constantFrom('10.96.0.1', '10.96.0.2', undefined),
    protocol: fc.constantFrom('tcp' as const, 'udp' as const),
    port: fc.constantFrom(80, 443),
    verdict: anyVerdict,
    outside: fc.option(fc.oneof(anyVerdict, fc.constant({ kind: 'drop' } as const)), {
      nil: undefined,
    }),
  })
  .map(({ outside, ...frontend }) =>
    outside === undefined || outside.kind === 'refuse' ? frontend : { ...frontend, outside },
  )
const anyRules: fc.Arbitrary<ServiceRules> = fc
  .array(anyFrontend, { maxLength: 4 })
  .map((frontends) => ({
    frontends,
    readyIps: new Set(
      frontends.flatMap(({ verdict }) =>
        verdict.kind === 'balance' ? verdict.backends.map((b) => b.ip) : [],
      ),
    ),
    localIps: new Set(
      frontends.flatMap(({ verdict }) =>
        verdict.kind === 'balance' ? verdict.backends.map((b) => b.ip) : [],
      ),
    ),
  }))
const anySteps = fc.array(
  fc.uniqueArray(fc.tuple(fc.constantFrom('a', 'b', 'c'), anyRules), {
    selector: ([key]) => key,
    minLength: 1,
  }),
  { minLength: 1, maxLength: 6 },
)
const options = { table: 't', clusterCidr: '10.244.0.0/16', serviceCidr: '10.96.0.0/16' }

test('small changes lead to the same kernel as the whole table, without ever adding twice or removing what is not there', () => {
  fc.assert(
    fc.property(anySteps, (steps) => {
      const ledger = new Ledger(options)
      const kernel = new Kernel()
      kernel.run(ledger.whole())
      for (const step of steps) kernel.run(ledger.update(new Map(step)).script)
      const anew = new Kernel()
      anew.run(ledger.whole())
      assert.deepEqual(kernel.state(), anew.state())
      kernel.run(ledger.update(new Map(ledger.services().map((key) => [key, noRules]))).script)
      assert.deepEqual(kernel.state(), new Map())
    }),
    { numRuns: 500 },
  )
})

test('every frontend that somebody wants is served by exactly one', () => {
  fc.assert(
    fc.property(anySteps, (steps) => {
      const ledger = new Ledger(options)
      const wanted = new Map<string, ServiceRules>()
      for (const step of steps) {
        for (const [key, rules] of step) wanted.set(key, rules)
        ledger.update(new Map(step))
      }
      const name = ({ address, protocol, port }: Frontend): string =>
        `${address} ${protocol} ${port}`
      const asked = new Set([...wanted.values()].flatMap(({ frontends }) => frontends.map(name)))
      const served = [...ledger.rules()].flatMap(({ frontends }) => frontends.map(name))
      assert.deepEqual(served.toSorted(), [...asked].toSorted())
    }),
  )
})

const balanced = (count: number): ServiceRules => ({
  frontends: [
    {
      address: '10.96.0.1',
      protocol: 'tcp',
      port: 80,
      verdict: {
        kind: 'balance',
        backends: Array.from({ length: count }, (_, n) => ({ ip: ip(n + 1), port: 8080 })),
      },
    },
  ],
  readyIps: new Set(),
  localIps: new Set(),
})

test('one endpoint less among many is a handful of elements', () => {
  const ledger = new Ledger(options)
  ledger.whole()
  const all = balanced(200)
  ledger.update(new Map([['a', all]]))
  const [frontend] = all.frontends
  assert.ok(frontend?.verdict.kind === 'balance')
  const verdict = { ...frontend.verdict, backends: frontend.verdict.backends.slice(1) }
  const { script } = ledger.update(
    new Map([['a', { ...all, frontends: [{ ...frontend, verdict }] }]]),
  )
  assert.deepEqual(
    script.split('\n').filter((line) => line.includes('element')),
    [
      'delete element ip t services { 10.96.0.1 . tcp . 80 }',
      'delete element ip t endpoints { 10.96.0.1 . tcp . 80 . 0x4e560000, 10.96.0.1 . tcp . 80 . 0x4e5600c7 }',
      'add element ip t services { 10.96.0.1 . tcp . 80 : goto any-199 }',
      'add element ip t endpoints { 10.96.0.1 . tcp . 80 . 0x4e560000 : 10.244.0.200 . 8080 }',
    ],
  )
})

test('the last pod that claims a host port has it', () => {
  const ledger = new Ledger(options)
  const kernel = new Kernel()
  kernel.run(ledger.whole())
  const port = { hostPort: 8080, containerPort: 80, protocol: 'tcp' } as const
  kernel.run(ledger.updateHostPorts('old', { ip: ip(1), ports: [port] }).script)
  kernel.run(
    ledger.updateHostPorts('new', { ip: ip(2), ports: [port, { ...port, hostIP: '127.0.0.1' }] })
      .script,
  )
  assert.deepEqual([...(kernel.maps.get('host_ports') ?? [])], [['tcp . 8080', '10.244.0.2 . 80']])
  kernel.run(ledger.updateHostPorts('old', undefined).script)
  assert.deepEqual(
    [...(kernel.maps.get('host_ports_on') ?? [])],
    [['127.0.0.1 . tcp . 8080', '10.244.0.2 . 80']],
  )
  kernel.run(ledger.updateHostPorts('new', undefined).script)
  assert.deepEqual(kernel.state(), new Map())
})

const udp = (...backends: readonly string[]): Pick<ServiceRules, 'frontends'> => ({
  frontends: [
    {
      address: '10.96.0.10',
      protocol: 'udp',
      port: 53,
      verdict:
        backends.length === 0
          ? { kind: 'refuse' }
          : { kind: 'balance', backends: backends.map((b) => ({ ip: b, port: 53 })) },
    },
  ],
})

test('UDP flows to a backend that went are forgotten, and all when the first backend comes', () => {
  const base = '-D -f ipv4 -p udp --orig-dst 10.96.0.10 --orig-port-dst 53'
  const words = (before: Pick<ServiceRules, 'frontends'>, after: Pick<ServiceRules, 'frontends'>) =>
    staleFlows(before, after).map((command) => command.join(' '))
  assert.deepEqual(words(udp('10.244.0.1', '10.244.0.2'), udp('10.244.0.2')), [
    `${base} --dst-nat 10.244.0.1`,
  ])
  assert.deepEqual(words(udp('10.244.0.2'), noRules), [`${base} --dst-nat 10.244.0.2`])
  assert.deepEqual(words(noRules, udp('10.244.0.2')), [base])
  assert.deepEqual(words(udp('10.244.0.2'), udp('10.244.0.2', '10.244.0.3')), [])
})

test('at start, only flows that no longer match their Service are forgotten', () => {
  const flow = (answers: string, port: number) =>
    `udp 17 29 src=10.244.0.7 dst=10.96.0.10 sport=${port} dport=53 src=${answers} dst=10.244.0.7 sport=53 dport=${port} mark=0 use=1`
  const flows = [
    flow('10.244.0.1', 1001),
    flow('10.244.0.2', 1002),
    'udp 17 1 src=1.1.1.1 dst=2.2.2.2 sport=5 dport=53 src=2.2.2.2 dst=1.1.1.1',
  ]
  assert.deepEqual(
    staleFlowsAtStart(flows.join('\n'), [udp('10.244.0.2')]).map((command) => command.join(' ')),
    [
      '-D -f ipv4 -p udp --orig-src 10.244.0.7 --orig-dst 10.96.0.10 --orig-port-src 1001 --orig-port-dst 53',
    ],
  )
})

test('connections that a backend which went has not answered are forgotten, others kept', () => {
  const three = balanced(3)
  assert.deepEqual([...unansweredConnections(three, balanced(2))], [ip(3)])
  assert.deepEqual([...unansweredConnections(balanced(2), three)], [])
  assert.deepEqual([...unansweredConnections(udp('10.244.0.1'), udp())], [])
})

test('a pod has host ports once it has an address, until it has ended, and not on the host network', () => {
  const pod = (spec: object, status: object): Pod =>
    ({
      metadata: { name: 'p', namespace: 'shop' },
      spec: {
        containers: [
          {
            ports: [
              { containerPort: 80, hostPort: 8080, protocol: 'UDP', hostIP: '192.0.2.1' },
              { containerPort: 81 },
              { containerPort: 82, hostPort: 8082, hostIP: 'fd00::1' },
            ],
          },
        ],
        ...spec,
      },
      status,
    }) as unknown as Pod
  assert.deepEqual(hostPortsOf(pod({}, { podIP: ip(2) })), {
    ip: ip(2),
    ports: [{ hostPort: 8080, containerPort: 80, protocol: 'udp', hostIP: '192.0.2.1' }],
  })
  assert.equal(hostPortsOf(pod({}, {})), undefined)
  assert.equal(hostPortsOf(pod({}, { podIP: ip(2), phase: 'Failed' })), undefined)
  assert.equal(hostPortsOf(pod({ hostNetwork: true }, { podIP: '192.0.2.1' })), undefined)
})
