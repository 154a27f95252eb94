/** Services, node ports and names as pods meet them. */
import assert from 'node:assert/strict'
import type { Json } from '../api.ts'
import { needsContainers } from '../containers.ts'
import { tryKubectl } from '../kubectl.ts'
import { mirror, type Fixture } from '../mirror.ts'
import {
  AGNHOST,
  change,
  pod,
  readyPods,
  replicationController,
  runningPod,
  service,
} from '../support.ts'

const WITHIN = 120_000

/** What a line of shell in a pod says; undefined when it fails. */
const inPod = async (fixture: Fixture, name: string, line: string): Promise<string | undefined> => {
  const { code, stdout } = await tryKubectl(fixture, ['exec', name, '--', 'sh', '-c', line])
  return code === 0 ? stdout : undefined
}

/** A pod to ask from. */
const client = async (fixture: Fixture, name = 'execpod'): Promise<string> => {
  await needsContainers(fixture)
  await fixture.api.post(
    fixture.ns('pods'),
    pod(name, {
      container: { name: 'agnhost', image: AGNHOST, args: ['pause'] },
      spec: { terminationGracePeriodSeconds: 0 },
    }),
  )
  await runningPod(fixture, name)
  return name
}

/** Names the host that answers. */
const hostnames = (fixture: Fixture, from: string, target: string): Promise<string | undefined> =>
  inPod(fixture, from, `curl -q -s --connect-timeout 2 http://${target}/hostname`)

const reaches = (fixture: Fixture, from: string, target: string, hosts: readonly string[]) => {
  const seen = new Set<string>()
  return fixture.until(
    `${target} answers from ${hosts.join()}`,
    async () => {
      const answer = await hostnames(fixture, from, target)
      if (answer !== undefined) seen.add(answer.trim())
      return hosts.every((host) => seen.has(host)) && seen
    },
    WITHIN,
  )
}

const server = (name: string, replicas: number): Json =>
  replicationController(name, {
    replicas,
    container: {
      name: 'agnhost',
      image: AGNHOST,
      args: ['netexec', '--http-port=80', '--udp-port=80'],
      ports: [{ containerPort: 80 }],
      readinessProbe: { httpGet: { path: '/hostname', port: 80 }, periodSeconds: 1 },
    },
  })

const servers = async (fixture: Fixture, name: string, replicas: number): Promise<string[]> => {
  await needsContainers(fixture)
  await fixture.api.post(fixture.ns('replicationcontrollers'), server(name, replicas))
  return (await readyPods(fixture, `name=${name}`, replicas)).map(
    (each) => each['metadata'].name as string,
  )
}

const nodeAddress = async ({ api }: Fixture): Promise<string> => {
  const { items } = await api.get('/api/v1/nodes')
  return items[0].status.addresses.find((a: Json) => a['type'] === 'InternalIP').address
}

const SERVICES = '[sig-network] Services'

mirror(
  `${SERVICES} should be able to create a functioning NodePort service [Conformance]`,
  async (fixture) => {
    const { api, ns } = fixture
    const hosts = await servers(fixture, 'nodeport-test', 2)
    const made = await api.post(
      ns('services'),
      service('nodeport-test', {
        type: 'NodePort',
        selector: { name: 'nodeport-test' },
        ports: [{ port: 80, protocol: 'TCP', targetPort: 80 }],
      }),
    )
    const from = await client(fixture)
    await reaches(fixture, from, 'nodeport-test', hosts)
    await reaches(fixture, from, made['spec'].clusterIP, hosts)
    await reaches(
      fixture,
      from,
      `${await nodeAddress(fixture)}:${made['spec'].ports[0].nodePort}`,
      hosts,
    )
  },
)

const EXTERNAL = 'clusterip-target'
/** Changes of type between names and addresses. */
for (const [what, before, after] of [
  ['ExternalName to ClusterIP', 'ExternalName', 'ClusterIP'],
  ['ExternalName to NodePort', 'ExternalName', 'NodePort'],
  ['ClusterIP to ExternalName', 'ClusterIP', 'ExternalName'],
  ['NodePort to ExternalName', 'NodePort', 'ExternalName'],
] as const) {
  mirror(
    `${SERVICES} should be able to change the type from ${what} [Conformance]`,
    async (fixture) => {
      const { api, ns, namespace } = fixture
      const name = `${before.toLowerCase()}-service`
      const hosts = await servers(fixture, name, 2)
      await api.post(
        ns('services'),
        service(EXTERNAL, { selector: { name }, ports: [{ port: 80, protocol: 'TCP' }] }),
      )
      const externalName = `${EXTERNAL}.${namespace}.svc.cluster.local`
      const ports = [{ name: 'http', port: 80, protocol: 'TCP', targetPort: 80 }]
      await api.post(
        ns('services'),
        service(
          name,
          before === 'ExternalName'
            ? { type: before, externalName }
            : { type: before, selector: { name }, ports },
        ),
      )
      const changed = await change(api, ns(`services/${name}`), (object) => {
        const { spec } = object
        if (after === 'ExternalName') {
          object['spec'] = { type: after, externalName }
          return
        }
        delete spec.externalName
        Object.assign(spec, { type: after, selector: { name }, ports })
      })
      assert.equal(changed['spec'].clusterIP === undefined, after === 'ExternalName')
      const from = await client(fixture)
      if (after === 'ExternalName') {
        await fixture.until(
          'the name leads to the other name',
          async () => {
            const answer = await inPod(
              fixture,
              from,
              `nslookup ${name}.${namespace}.svc.cluster.local`,
            )
            return answer !== undefined && /Address/.test(answer)
          },
          WITHIN,
        )
      }
      await reaches(fixture, from, name, hosts)
      if (after === 'NodePort')
        await reaches(
          fixture,
          from,
          `${await nodeAddress(fixture)}:${changed['spec'].ports[0].nodePort}`,
          hosts,
        )
    },
  )
}

const endpointsAre = (
  { api, ns, until }: Fixture,
  name: string,
  expected: Readonly<Record<string, readonly number[]>>,
): Promise<unknown> =>
  until(`endpoints of ${name} are ${JSON.stringify(expected)}`, async () => {
    const { json } = await api.call('GET', ns(`endpoints/${name}`))
    const found: Record<string, number[]> = {}
    for (const { addresses = [], ports = [] } of json['subsets'] ?? [])
      for (const { targetRef } of addresses)
        (found[targetRef.name] ??= []).push(...ports.map((p: Json) => p['port'] as number))
    for (const list of Object.values(found)) list.sort((a, b) => a - b)
    const wanted = Object.entries(expected)
    return (
      Object.keys(found).length === wanted.length &&
      wanted.every(([key, ports]) => found[key]?.join() === ports.join())
    )
  })

const backend = (name: string, labels: Json, args: string[], ports: Json[]): Json =>
  pod(name, {
    metadata: { labels },
    container: { image: AGNHOST, args, ports },
    spec: { terminationGracePeriodSeconds: 0 },
  })

mirror(`${SERVICES} should serve a basic endpoint from pods [Conformance]`, async (fixture) => {
  await needsContainers(fixture)
  const { api, ns } = fixture
  const labels = { app: 'endpoint-test2' }
  await api.post(
    ns('services'),
    service('endpoint-test2', {
      selector: labels,
      ports: [{ port: 80, targetPort: 80 }],
    }),
  )
  await endpointsAre(fixture, 'endpoint-test2', {})
  const args = ['netexec', '--http-port=80']
  const ports = [{ containerPort: 80 }]
  await api.post(ns('pods'), backend('pod1', labels, args, ports))
  await endpointsAre(fixture, 'endpoint-test2', { pod1: [80] })
  const from = await client(fixture)
  await reaches(fixture, from, 'endpoint-test2', ['pod1'])
  await api.post(ns('pods'), backend('pod2', labels, args, ports))
  await endpointsAre(fixture, 'endpoint-test2', { pod1: [80], pod2: [80] })
  await reaches(fixture, from, 'endpoint-test2', ['pod1', 'pod2'])
  await api.delete(ns('pods/pod1'), { gracePeriodSeconds: 0 })
  await endpointsAre(fixture, 'endpoint-test2', { pod2: [80] })
  assert.equal((await hostnames(fixture, from, 'endpoint-test2'))?.trim(), 'pod2')
  await api.delete(ns('pods/pod2'), { gracePeriodSeconds: 0 })
  await endpointsAre(fixture, 'endpoint-test2', {})
})

mirror(`${SERVICES} should serve multiport endpoints from pods [Conformance]`, async (fixture) => {
  await needsContainers(fixture)
  const { api, ns } = fixture
  const labels = { app: 'multi-endpoint-test' }
  await api.post(
    ns('services'),
    service('multi-endpoint-test', {
      selector: labels,
      ports: [
        { name: 'portname1', port: 80, targetPort: 'svc1' },
        { name: 'portname2', port: 81, targetPort: 'svc2' },
      ],
    }),
  )
  await endpointsAre(fixture, 'multi-endpoint-test', {})
  await api.post(
    ns('pods'),
    backend('pod1', labels, ['netexec', '--http-port=100'], [{ name: 'svc1', containerPort: 100 }]),
  )
  await endpointsAre(fixture, 'multi-endpoint-test', { pod1: [100] })
  await api.post(
    ns('pods'),
    backend('pod2', labels, ['netexec', '--http-port=101'], [{ name: 'svc2', containerPort: 101 }]),
  )
  await endpointsAre(fixture, 'multi-endpoint-test', { pod1: [100], pod2: [101] })
  const from = await client(fixture)
  await reaches(fixture, from, 'multi-endpoint-test:80', ['pod1'])
  await reaches(fixture, from, 'multi-endpoint-test:81', ['pod2'])
  await api.delete(ns('pods/pod1'), { gracePeriodSeconds: 0 })
  await endpointsAre(fixture, 'multi-endpoint-test', { pod2: [101] })
  await api.delete(ns('pods/pod2'), { gracePeriodSeconds: 0 })
  await endpointsAre(fixture, 'multi-endpoint-test', {})
})

mirror(
  `${SERVICES} should serve endpoints on same port and different protocols [Conformance]`,
  async (fixture) => {
    await needsContainers(fixture)
    const { api, ns } = fixture
    const labels = { app: 'multiprotocol-test' }
    const both = ['TCP', 'UDP'].map((protocol) => ({
      name: protocol.toLowerCase(),
      port: 80,
      protocol,
      targetPort: 80,
    }))
    const made = await api.post(
      ns('services'),
      service('multiprotocol-test', { selector: labels, ports: both }),
    )
    await api.post(
      ns('pods'),
      backend(
        'pod1',
        labels,
        ['netexec', '--http-port=80', '--udp-port=80'],
        [
          { containerPort: 80, protocol: 'TCP' },
          { containerPort: 80, protocol: 'UDP' },
        ],
      ),
    )
    await runningPod(fixture, 'pod1')
    await endpointsAre(fixture, 'multiprotocol-test', { pod1: [80, 80] })
    const from = await client(fixture)
    const { clusterIP } = made['spec']
    // The server itself asks the Service over UDP and tells what came back.
    const { status } = await api.get(ns('pods/pod1'))
    const udp = (): Promise<string | undefined> =>
      inPod(
        fixture,
        from,
        `curl -g -q -s 'http://${status.podIP}:80/dial?request=hostname&protocol=udp&host=${clusterIP}&port=80&tries=1'`,
      )
    await reaches(fixture, from, clusterIP, ['pod1'])
    await fixture.until('UDP answers', async () => (await udp())?.includes('pod1'), WITHIN)
    // One protocol less, and one more again.
    await change(api, ns('services/multiprotocol-test'), (object) => {
      object['spec'].ports = [both[1]]
    })
    await fixture.until(
      'TCP does not answer any more',
      async () => (await hostnames(fixture, from, clusterIP)) === undefined,
      WITHIN,
    )
    await fixture.until('UDP answers still', async () => (await udp())?.includes('pod1'), WITHIN)
    await change(api, ns('services/multiprotocol-test'), (object) => {
      object['spec'].ports = [both[0]]
    })
    await reaches(fixture, from, clusterIP, ['pod1'])
  },
)

/** Twelve answers: from one host with affinity, and from more than one without. */
const sticks = (fixture: Fixture, from: string, target: string, sticky: boolean) =>
  fixture.until(
    `${target} ${sticky ? 'stays with one host' : 'goes to several'}`,
    async () => {
      const answer = await inPod(
        fixture,
        from,
        `for i in 1 2 3 4 5 6 7 8 9 10 11 12; do curl -q -s --connect-timeout 2 http://${target}/hostname; echo; done`,
      )
      const hosts = (answer ?? '').split('\n').filter((host) => host.trim() !== '')
      const distinct = new Set(hosts).size
      return hosts.length === 12 && (sticky ? distinct === 1 : distinct > 1)
    },
    WITHIN,
  )

for (const [what, type, switches] of [
  ['should have session affinity work for service with type clusterIP', 'ClusterIP', false],
  ['should have session affinity work for NodePort service', 'NodePort', false],
  ['should be able to switch session affinity for service with type clusterIP', 'ClusterIP', true],
  ['should be able to switch session affinity for NodePort service', 'NodePort', true],
] as const) {
  mirror(`${SERVICES} ${what} [LinuxOnly] [Conformance]`, async (fixture) => {
    const { api, ns } = fixture
    const name = 'affinity'
    await servers(fixture, name, 3)
    const made = await api.post(
      ns('services'),
      service(name, {
        type,
        selector: { name },
        sessionAffinity: switches ? 'None' : 'ClientIP',
        ports: [{ port: 80, protocol: 'TCP', targetPort: 80 }],
      }),
    )
    const from = await client(fixture)
    const target =
      type === 'NodePort'
        ? `${await nodeAddress(fixture)}:${made['spec'].ports[0].nodePort}`
        : String(made['spec'].clusterIP)
    const affinity = (value: string): Promise<Json> =>
      change(api, ns(`services/${name}`), (object) => {
        object['spec'].sessionAffinity = value
        if (value === 'None') delete object['spec'].sessionAffinityConfig
      })
    if (!switches) await sticks(fixture, from, target, true)
    else {
      await sticks(fixture, from, target, false)
      await affinity('ClientIP')
      await sticks(fixture, from, target, true)
      await affinity('None')
      await sticks(fixture, from, target, false)
    }
  })
}

mirror('[sig-network] DNS should provide DNS for the cluster [Conformance]', async (fixture) => {
  const from = await client(fixture)
  await resolves(fixture, from, 'kubernetes.default.svc.cluster.local')
})

/** Both by the resolver of the C library, where there is one, and by asking the server. */
const resolves = (fixture: Fixture, from: string, name: string): Promise<string> =>
  fixture.until(
    `${name} is resolved`,
    async () => {
      const answer = await inPod(fixture, from, `nslookup ${name}`)
      const [, ...answers] = (answer ?? '').split('Name:')
      return /Address[^:]*: *\d+\.\d+\.\d+\.\d+/.exec(answers.join())?.[0]
    },
    WITHIN,
  )

mirror(
  '[sig-network] DNS should resolve DNS of partial qualified names for services [LinuxOnly] [Conformance]',
  async (fixture) => {
    const { api, ns, namespace } = fixture
    const from = await client(fixture)
    const selector = { 'dns-test': 'true' }
    const ports = [{ name: 'http', port: 80, protocol: 'TCP' }]
    await api.post(ns('services'), service('dns-test-service', { selector, ports }))
    await api.post(
      ns('services'),
      service('dns-test-headless', { clusterIP: 'None', selector, ports }),
    )
    await api.post(
      ns('pods'),
      backend('dns-backend', selector, ['netexec', '--http-port=80'], [{ containerPort: 80 }]),
    )
    await runningPod(fixture, 'dns-backend')
    for (const base of ['dns-test-service', 'dns-test-headless'])
      for (const name of [base, `${base}.${namespace}`, `${base}.${namespace}.svc`])
        await fixture.until(
          `${name} is reached`,
          async () =>
            (await inPod(
              fixture,
              from,
              `curl -q -s --connect-timeout 2 http://${name}/hostname`,
            )) === 'dns-backend',
          WITHIN,
        )
  },
)

mirror('[sig-network] DNS should provide DNS for services [Conformance]', async (fixture) => {
  const { api, ns, namespace } = fixture
  const from = await client(fixture)
  const selector = { 'dns-test': 'true' }
  const ports = [{ name: 'http', port: 80, protocol: 'TCP' }]
  const regular = await api.post(ns('services'), service('test-service-2', { selector, ports }))
  await api.post(
    ns('services'),
    service('dns-test-service', { clusterIP: 'None', selector, ports }),
  )
  await api.post(
    ns('pods'),
    backend('dns-backend', selector, ['netexec', '--http-port=80'], [{ containerPort: 80 }]),
  )
  const { status } = await runningPod(fixture, 'dns-backend')
  const zone = `${namespace}.svc.cluster.local`
  const asks = async (name: string, expected: string): Promise<void> => {
    const address = await resolves(fixture, from, name)
    assert.ok(address.endsWith(expected), `${name}: ${address}`)
  }
  await asks(`test-service-2.${zone}`, regular['spec'].clusterIP)
  await asks(`dns-test-service.${zone}`, status.podIP)
  const records = async (type: string, name: string, expected: RegExp): Promise<void> => {
    await fixture.until(
      `${type} ${name}`,
      async () =>
        expected.test((await inPod(fixture, from, `nslookup -type=${type} ${name}`)) ?? ''),
      WITHIN,
    )
  }
  await records(
    'srv',
    `_http._tcp.test-service-2.${zone}`,
    new RegExp(`80 test-service-2\\.${zone}`),
  )
  await records(
    'srv',
    `_http._tcp.dns-test-service.${zone}`,
    new RegExp(`80 \\S+\\.dns-test-service\\.${zone}`),
  )
  const reversed = String(regular['spec'].clusterIP).split('.').toReversed().join('.')
  await records('ptr', `${reversed}.in-addr.arpa`, new RegExp(`test-service-2\\.${zone}`))
})

for (const [what, name] of [
  ['Hostname', 'dns-querier-1'],
  ['Subdomain', 'dns-querier-2'],
] as const) {
  mirror(
    `[sig-network] DNS should provide DNS for pods for ${what} [Conformance]`,
    async (fixture) => {
      const { api, ns, namespace } = fixture
      await needsContainers(fixture)
      const labels = { 'dns-test-hostname-attribute': 'true' }
      const subdomain = 'dns-test-service-2'
      await api.post(
        ns('services'),
        service(subdomain, {
          clusterIP: 'None',
          selector: labels,
          ports: [{ name: 'http', port: 80, protocol: 'TCP' }],
        }),
      )
      await api.post(
        ns('pods'),
        pod(name, {
          metadata: { labels },
          container: { name: 'agnhost', image: AGNHOST, args: ['netexec', '--http-port=80'] },
          spec: { hostname: name, subdomain, terminationGracePeriodSeconds: 0 },
        }),
      )
      const { status } = await runningPod(fixture, name)
      const full = `${name}.${subdomain}.${namespace}.svc.cluster.local`
      const address = await resolves(
        fixture,
        name,
        what === 'Hostname' ? full : `${subdomain}.${namespace}.svc.cluster.local`,
      )
      assert.ok(address.endsWith(status.podIP))
      assert.equal((await inPod(fixture, name, 'cat /etc/hostname'))?.trim(), name)
    },
  )
}

mirror(
  '[sig-network] DNS should provide DNS for ExternalName services [Conformance]',
  async (fixture) => {
    const { api, ns, namespace } = fixture
    const from = await client(fixture)
    const name = `dns-test-service-3.${namespace}.svc.cluster.local`
    const leadsTo = (target: string): Promise<unknown> =>
      fixture.until(
        `${name} leads to ${target}`,
        async () =>
          (
            await tryKubectl(fixture, ['exec', from, '--', 'nslookup', '-type=cname', name])
          ).stdout.includes(target),
        WITHIN,
      )
    await api.post(
      ns('services'),
      service('dns-test-service-3', { type: 'ExternalName', externalName: 'foo.example.com' }),
    )
    await leadsTo('foo.example.com')
    await change(api, ns('services/dns-test-service-3'), (object) => {
      object['spec'].externalName = 'bar.example.com'
    })
    await leadsTo('bar.example.com')
    const changed = await change(api, ns('services/dns-test-service-3'), (object) => {
      object['spec'] = { type: 'ClusterIP', ports: [{ port: 80, name: 'http', protocol: 'TCP' }] }
    })
    const address = await resolves(fixture, from, name)
    assert.ok(address.endsWith(changed['spec'].clusterIP))
  },
)

mirror(
  '[sig-network] DNS should provide /etc/hosts entries for the cluster [Conformance]',
  async (fixture) => {
    const { api, ns, namespace } = fixture
    await needsContainers(fixture)
    const subdomain = 'dns-test-service'
    await api.post(
      ns('pods'),
      pod('dns-querier', {
        container: { name: 'agnhost', image: AGNHOST, args: ['pause'] },
        spec: { hostname: 'dns-querier-1', subdomain, terminationGracePeriodSeconds: 0 },
      }),
    )
    const { status } = await runningPod(fixture, 'dns-querier')
    const hosts = await inPod(fixture, 'dns-querier', 'cat /etc/hosts')
    assert.match(
      hosts ?? '',
      new RegExp(
        `^${status.podIP}\\s+dns-querier-1\\.${subdomain}\\.${namespace}\\.svc\\.cluster\\.local\\s+dns-querier-1$`,
        'm',
      ),
    )
  },
)
