/**
 * The pod network and the service proxy in a real kernel. The test runs itself again in network, mount and process
 * namespaces of its own, so that the machine keeps no trace. Pods are processes with a network of their own.
 */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { EndpointSlice, Pod, Service } from '#api'
import { realEnv } from '#base'
import { type PodNetwork, setUpPodNetwork } from './cni.ts'
import type { Change, Follow } from './follow.ts'
import { type ServiceProxy, startServiceProxy } from './proxy/service-proxy.ts'

const env = realEnv({ level: 'warn' })
const INSIDE = 'NVT_INSIDE'
const isRoot = /^Uid:\s+\d+\s+0\s/m.test(await env.fs.readText('/proc/self/status').catch(() => ''))

if (env.process.environment[INSIDE] === undefined) {
  test('the network works in a kernel', { skip: isRoot ? false : 'needs root' }, async () => {
    const node = `${env.process.environment['npm_node_execpath'] ?? process.execPath}`
    const { code, stdout, stderr } = await env.process.run(
      [
        'unshare',
        ...`--net --pid --fork --kill-child --mount-proc ${node} --test --test-isolation=none`.split(
          ' ',
        ),
        import.meta.filename,
      ],
      { env: { [INSIDE]: '1', NODE_TEST_CONTEXT: '' }, timeoutMs: 120_000 },
    )
    assert.equal(code, 0, stdout + stderr)
    assert.equal(stderr, '', 'nothing is worth a warning')
  })
} else {
  insideTests()
}

/** Says its name and the caller's address, over TCP and UDP; started in a network of its own. */
const SERVER = `
const [name] = process.argv.slice(1)
require('net').createServer((s) => s.end(name + ' ' + s.remoteAddress.replace('::ffff:', ''))).listen(8080)
const u = require('dgram').createSocket('udp4')
u.on('message', (m, r) => u.send(name + ' ' + r.address, r.port, r.address)).bind(8080)
`
const CLIENT = `
const [kind, host, port, from] = process.argv.slice(1)
const say = (text) => { process.stdout.write(text); process.exit(0) }
setTimeout(() => say('timeout'), 1000)
if (kind === 'udp') {
  const u = require('dgram').createSocket('udp4')
  u.on('message', (m) => say(String(m))).on('error', (e) => say(e.code))
  u.bind(+from || 0, () => u.connect(+port, host, () => u.send('x')))
} else {
  require('net').connect(+port, host).on('data', (d) => say(String(d))).on('error', (e) => say(e.code))
}
`

function insideTests(): void {
  const folder = `/tmp/nvt-network-${env.random.uuid()}`
  const stop = new AbortController()
  const sources = {
    services: source<Service>(),
    slices: source<EndpointSlice>(),
    pods: source<Pod>(),
  }
  const pids = new Map<string, number>()
  let network: PodNetwork
  let proxy: ServiceProxy

  const sh = async (script: string): Promise<string> => {
    const { code, stdout, stderr } = await env.process.run(['sh', '-ec', script])
    assert.equal(code, 0, `${script}\n${stderr}`)
    return stdout
  }
  const startPod = async (name: string, address: string, gateway: string, bridge?: string) => {
    const { pid } = env.process.spawn(['unshare', '--net', process.execPath, '-e', SERVER, name])
    pids.set(name, pid)
    const own = await env.fs.readLink('/proc/self/ns/net')
    while ((await env.fs.readLink(`/proc/${pid}/ns/net`)) === own) await env.clock.sleep(2)
    const inside = `nsenter -t ${pid} -n`
    await sh(`
      ip link add v${name} type veth peer name eth0 netns ${pid}
      ${bridge === undefined ? `ip addr add ${gateway}/24 dev v${name}` : `ip link set v${name} master ${bridge}; bridge link set dev v${name} hairpin on`}
      ip link set v${name} up
      ${inside} ip link set lo up
      ${inside} ip addr add ${address}/24 dev eth0
      ${inside} ip link set eth0 up
      ${inside} ip route add default via ${gateway}
      until ${inside} sh -c 'ss -Hltn sport = 8080 2>/dev/null || cat /proc/net/tcp6' | grep -Eq '8080|1F90'; do :; done
    `)
  }
  const ask = async (
    where: string,
    host: string,
    port: number,
    { kind = 'tcp', from = 0 }: { kind?: 'tcp' | 'udp'; from?: number } = {},
  ): Promise<string> => {
    const pid = pids.get(where)
    const client = [process.execPath, '-e', CLIENT, kind, host, String(port), String(from)]
    const { stdout } = await env.process.run(
      where === 'host' ? (client as [string]) : ['nsenter', '-t', String(pid), '-n', ...client],
    )
    return stdout
  }
  /** The names of all that answer. */
  const answers = async (
    where: string,
    host: string,
    port: number,
    times = 12,
  ): Promise<readonly string[]> => {
    const all = await Promise.all(Array.from({ length: times }, () => ask(where, host, port)))
    return [...new Set(all.map((answer) => answer.split(' ')[0] ?? ''))].toSorted()
  }
  /** Tells the proxy and waits until the kernel has it. */
  let revision = 1
  const apply = async (
    service: Partial<Service['spec']>,
    endpoints: EndpointSlice['endpoints'],
    status?: Service['status'],
  ) => {
    const metadata = {
      name: 'web',
      namespace: 'shop',
      resourceVersion: String(++revision),
    } as Service['metadata']
    sources.services.tell({
      type: 'set',
      object: {
        metadata,
        spec: {
          clusterIP: '10.96.0.5',
          ports: [
            { name: 'http', port: 80, protocol: 'TCP' },
            { name: 'udp', port: 53, protocol: 'UDP' },
          ],
          ...service,
        },
        ...(status && { status }),
      },
    })
    sources.slices.tell({
      type: 'set',
      object: {
        metadata: { ...metadata, name: 'web-1', labels: { 'kubernetes.io/service-name': 'web' } },
        addressType: 'IPv4',
        ports: [
          { name: 'http', port: 8080, protocol: 'TCP' },
          { name: 'udp', port: 8080, protocol: 'UDP' },
        ],
        ...(endpoints && { endpoints }),
      },
    })
    while (proxy.appliedRevision() !== String(revision)) await env.clock.sleep(2)
  }
  const ready = (...ips: readonly string[]): NonNullable<EndpointSlice['endpoints']> =>
    ips.map((ip) => ({ addresses: [ip], nodeName: 'n1', conditions: { ready: true } }))
  const [A, B, C] = ['10.244.0.2', '10.244.0.3', '10.244.0.4'] as const

  before(async () => {
    await sh('ip link set lo up')
    network = await setUpPodNetwork({
      env,
      podCidr: '10.244.0.0/24',
      clusterCidr: '10.244.0.0/16',
      serviceCidr: '10.96.0.0/16',
      cniConfDir: `${folder}/cni`,
      leaseDir: `${folder}/leases`,
      bridge: 'nvt0',
    })
    await startPod('a', A, network.gateway, network.bridge)
    await startPod('b', B, network.gateway, network.bridge)
    await startPod('c', C, network.gateway, network.bridge)
    await startPod('out', '192.0.2.2', '192.0.2.1')
    await sh(`nsenter -t ${pids.get('out')} -n ip route add 10.96.0.0/16 via 192.0.2.1 || true`)
    proxy = await startServiceProxy(
      {
        env,
        services: sources.services.follow,
        endpointSlices: sources.slices.follow,
        pods: sources.pods.follow,
        node: { nodeName: 'n1' },
        clusterCidr: '10.244.0.0/16',
        serviceCidr: '10.96.0.0/16',
      },
      stop.signal,
    )
  })
  after(async () => {
    await proxy.stop({ cleanup: true })
    await network.tearDown()
    await env.fs.remove(folder)
    assert.equal((await sh('nft list tables')).trim(), '')
    for (const pid of pids.values()) await sh(`kill ${pid}`)
  })

  test('pods reach each other and, hidden behind the node, the world', async () => {
    assert.equal(await ask('a', B, 8080), `b ${A}`)
    assert.equal(await ask('a', '192.0.2.2', 8080), 'out 192.0.2.1')
  })

  test('setting up the network again changes nothing for running pods', async () => {
    await setUpPodNetwork({
      env,
      podCidr: '10.244.0.0/24',
      clusterCidr: '10.244.0.0/16',
      serviceCidr: '10.96.0.0/16',
      cniConfDir: `${folder}/cni`,
      leaseDir: `${folder}/leases`,
      bridge: 'nvt0',
    })
    assert.equal(await ask('a', B, 8080), `b ${A}`)
  })

  test('what no Service has is refused at once', async () => {
    assert.equal(await ask('a', '10.96.0.99', 80), 'ECONNREFUSED')
    assert.equal(await ask('host', '10.96.0.99', 80), 'ECONNREFUSED')
    await apply({}, [])
    assert.equal(await ask('a', '10.96.0.5', 80), 'ECONNREFUSED')
    assert.equal(await ask('host', '10.96.0.5', 53, { kind: 'udp' }), 'ECONNREFUSED')
    assert.equal(await ask('a', '10.96.0.5', 53, { kind: 'udp' }), 'ECONNREFUSED')
  })

  test('a cluster IP is balanced, from pods, from the host, and to the pod itself', async () => {
    await apply({}, ready(A, B, C))
    assert.deepEqual(await answers('host', '10.96.0.5', 80, 30), ['a', 'b', 'c'])
    assert.deepEqual(await answers('a', '10.96.0.5', 80, 30), ['a', 'b', 'c'])
    await apply({}, ready(A))
    assert.equal(await ask('a', '10.96.0.5', 80), `a ${network.gateway}`)
    assert.equal(await ask('b', '10.96.0.5', 80), `a ${B}`)
  })

  test('a UDP flow leaves the pod that went, and finds the first that comes', async () => {
    const flow = { kind: 'udp', from: 40_001 } as const
    await apply({}, ready(A))
    assert.equal(await ask('c', '10.96.0.5', 53, flow), `a ${C}`)
    await apply({}, ready(B))
    assert.equal(await ask('c', '10.96.0.5', 53, flow), `b ${C}`)
    await apply({}, [])
    assert.equal(await ask('c', '10.96.0.5', 53, flow), 'ECONNREFUSED')
    await apply({}, ready(A))
    assert.equal(await ask('c', '10.96.0.5', 53, flow), `a ${C}`)
  })

  test('a node port answers on every address of the node, hides strangers and keeps pods', async () => {
    await apply(
      { type: 'NodePort', ports: [{ name: 'http', port: 80, nodePort: 30_080 }] },
      ready(A),
    )
    assert.equal(await ask('host', '127.0.0.1', 30_080), `a ${network.gateway}`)
    assert.equal(await ask('host', '192.0.2.1', 30_080), 'a 192.0.2.1')
    assert.equal(await ask('out', '192.0.2.1', 30_080), `a ${network.gateway}`)
    assert.equal(await ask('b', network.gateway, 30_080), `a ${B}`)
  })

  test('externalTrafficPolicy Local keeps the address of strangers, or keeps silent', async () => {
    const local = {
      type: 'NodePort',
      externalTrafficPolicy: 'Local',
      ports: [{ name: 'http', port: 80, nodePort: 30_080 }],
    } as const
    const far = ready(B).map((endpoint) => ({ ...endpoint, nodeName: 'n2' }))
    await apply(local, [...ready(A), ...far])
    assert.deepEqual(await answers('out', '192.0.2.1', 30_080), ['a'])
    assert.equal(await ask('out', '192.0.2.1', 30_080), 'a 192.0.2.2')
    assert.deepEqual(await answers('c', '192.0.2.1', 30_080, 20), ['a', 'b'])
    await apply(local, far)
    assert.equal(await ask('out', '192.0.2.1', 30_080), 'timeout')
    assert.equal(await ask('c', '192.0.2.1', 30_080), `b ${C}`)
  })

  test('external and load balancer addresses serve those who may come', async () => {
    const balanced = {
      type: 'LoadBalancer',
      externalIPs: ['192.0.2.77'],
      ports: [{ name: 'http', port: 80, nodePort: 30_080 }],
    } as const
    const status = { loadBalancer: { ingress: [{ ip: '192.0.2.78' }] } }
    await sh(`nsenter -t ${pids.get('out')} -n ip route add 192.0.2.77 via 192.0.2.1`)
    await sh(`nsenter -t ${pids.get('out')} -n ip route add 192.0.2.78 via 192.0.2.1`)
    await apply(balanced, ready(A), status)
    assert.equal(await ask('out', '192.0.2.77', 80), `a ${network.gateway}`)
    assert.equal(await ask('out', '192.0.2.78', 80), `a ${network.gateway}`)
    await apply({ ...balanced, loadBalancerSourceRanges: ['198.51.100.0/24'] }, ready(A), status)
    assert.equal(await ask('out', '192.0.2.78', 80), 'timeout')
    assert.equal(await ask('b', '192.0.2.78', 80), `a ${B}`)
    await apply({ ...balanced, loadBalancerSourceRanges: ['192.0.2.0/25'] }, ready(A), status)
    assert.equal(await ask('out', '192.0.2.78', 80), `a ${network.gateway}`)
  })

  test('a client stays with its pod while it lives, and gets another when it is gone', async () => {
    const sticky = (timeoutSeconds: number) =>
      ({
        sessionAffinity: 'ClientIP',
        sessionAffinityConfig: { clientIP: { timeoutSeconds } },
      }) as const
    await apply(sticky(100), ready(A, B, C))
    const [first, ...others] = await answers('out', '10.96.0.5', 80, 20)
    assert.deepEqual(others, [])
    const own = { a: A, b: B, c: C }[first ?? '']
    await apply(sticky(100), ready(...[A, B, C].filter((ip) => ip !== own)))
    const [second, ...more] = await answers('out', '10.96.0.5', 80, 1)
    assert.notEqual(second, first)
    assert.deepEqual(more, [])
    assert.deepEqual(await answers('out', '10.96.0.5', 80, 20), [second])
    await apply(sticky(100), ready(A, B, C))
    assert.deepEqual(await answers('out', '10.96.0.5', 80, 20), [second])
    await apply({}, ready(A, B, C))
    assert.deepEqual(await answers('out', '10.96.0.5', 80, 40), ['a', 'b', 'c'])
  })

  test('affinity ends with its time-out', async () => {
    await apply(
      { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 1 } } },
      ready(A, B, C),
    )
    const seen = new Set<string>()
    const deadline = env.clock.monotonic() + 30_000
    while (seen.size < 2 && env.clock.monotonic() < deadline) {
      seen.add((await ask('b', '10.96.0.5', 80)).split(' ')[0] ?? '')
      await env.clock.sleep(1_200)
    }
    assert.ok(seen.size >= 2)
  })

  test('a host port leads to its pod, from everywhere', async () => {
    await apply({}, ready(A))
    const pod: Pod = {
      metadata: { name: 'c', namespace: 'shop' } as Pod['metadata'],
      spec: {
        containers: [{ name: 'main', ports: [{ containerPort: 8080, hostPort: 9_090 }] }],
      } as unknown as NonNullable<Pod['spec']>,
      status: { podIP: C },
    }
    sources.pods.tell({ type: 'set', object: pod })
    await proxy.settled()
    assert.equal(await ask('host', '127.0.0.1', 9_090), `c ${network.gateway}`)
    assert.equal(await ask('out', '192.0.2.1', 9_090), 'c 192.0.2.2')
    assert.equal(await ask('c', network.gateway, 9_090), `c ${network.gateway}`)
    sources.pods.tell({ type: 'gone', object: pod })
    await proxy.settled()
    assert.equal(await ask('out', '192.0.2.1', 9_090), 'ECONNREFUSED')
  })

  test('a pod is drained once the kernel sends it nothing new', async () => {
    await apply({}, ready(A, B))
    let drained = false
    const ending = proxy
      .drained({ ips: [A] }, AbortSignal.timeout(10_000))
      .then(() => (drained = true))
    await proxy.drained({ ips: [C] }, AbortSignal.timeout(1_000))
    assert.equal(drained, false)
    await apply({}, [
      ...ready(B),
      {
        addresses: [A],
        nodeName: 'n1',
        conditions: { ready: false, serving: true, terminating: true },
      },
    ])
    await ending
    assert.deepEqual(await answers('c', '10.96.0.5', 80, 20), ['b'])
    await assert.rejects(proxy.drained({ ips: [B] }, AbortSignal.timeout(20)), /aborted|timeout/i)
  })

  test('a client that knocked at a dead pod gets another one with its next attempt', async () => {
    await startPod('d', '10.244.0.5', network.gateway, network.bridge)
    await apply({}, ready('10.244.0.5'))
    assert.equal(await ask('host', '10.96.0.5', 80), `d ${network.gateway}`)
    await sh('ip link delete vd')
    const socket = env.net.connect({ host: '10.96.0.5', port: 80 })
    while (!/SYN_SENT/.test(await sh('conntrack -L -p tcp 2>/dev/null'))) await env.clock.sleep(5)
    await apply({}, ready(B))
    const connected = await socket
    let text = ''
    for await (const chunk of connected) text += String(chunk)
    assert.equal(text.split(' ')[0], 'b')
  })

  test('pods cannot reach what the host serves to itself only', async () => {
    const own = await env.net.listen({ host: '127.0.0.1', port: 7_070 }, (socket) =>
      socket.end('secret'),
    )
    const inside = `nsenter -t ${pids.get('c')} -n`
    await sh(`
      ${inside} sh -c 'echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet'
      ${inside} ip address delete 127.0.0.1/8 dev lo
      ${inside} ip route add 127.0.0.1 via ${network.gateway} src ${C}
    `)
    assert.equal(await ask('host', '127.0.0.1', 7_070), 'secret')
    assert.equal(await ask('c', '127.0.0.1', 7_070), 'timeout')
    await sh('nft delete chain ip navarch-services guard')
    assert.equal(await ask('c', '127.0.0.1', 7_070), 'secret', 'without the guard it would')
    await own.close()
  })

  test('a proxy that starts again finds the rules and replaces them', async () => {
    await proxy.stop()
    assert.deepEqual(await answers('c', '10.96.0.5', 80, 4), ['b'])
    proxy = await startServiceProxy(
      {
        env,
        services: sources.services.follow,
        endpointSlices: sources.slices.follow,
        pods: sources.pods.follow,
        node: { nodeName: 'n1' },
        clusterCidr: '10.244.0.0/16',
        serviceCidr: '10.96.0.0/16',
      },
      stop.signal,
    )
    assert.deepEqual(await answers('c', '10.96.0.5', 80, 4), ['b'])
  })
}

/** Objects by name that remember and tell. */
function source<T extends { readonly metadata: { readonly name: string } }>(): {
  readonly tell: (change: Change<T>) => void
  readonly follow: Follow<T>
} {
  const objects = new Map<string, T>()
  const listeners = new Set<(change: Change<T>) => void>()
  return {
    tell(change) {
      if (change.type === 'gone') objects.delete(change.object.metadata.name)
      else objects.set(change.object.metadata.name, change.object)
      for (const listener of listeners) listener(change)
    },
    async follow(onChange, signal) {
      for (const object of objects.values()) onChange({ type: 'set', object })
      listeners.add(onChange)
      signal.addEventListener('abort', () => listeners.delete(onChange), { once: true })
    },
  }
}
