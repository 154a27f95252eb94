/** Pods that reach pods, hooks that reach pods, and the proxy of the API server that reaches both. */
import assert from 'node:assert/strict'
import type { Json } from '../api.ts'
import { needsContainers } from '../containers.ts'
import { tryKubectl } from '../kubectl.ts'
import { mirror, type Fixture } from '../mirror.ts'
import {
  AGNHOST,
  gone,
  names,
  pod,
  readyPods,
  replicaSet,
  replicationController,
  runningPod,
  service,
} from '../support.ts'

const WITHIN = 120_000

const agnhostPod = (name: string, args: readonly string[], extra: Json = {}): Json =>
  pod(name, {
    metadata: extra['metadata'],
    container: { name: 'agnhost', image: AGNHOST, args, ...extra['container'] },
    spec: { terminationGracePeriodSeconds: 0, ...extra['spec'] },
  })

const curl = async (fixture: Fixture, from: string, url: string): Promise<string | undefined> => {
  const { code, stdout } = await tryKubectl(fixture, [
    'exec',
    from,
    '--',
    'curl',
    '-g',
    '-q',
    '-s',
    '--max-time',
    '5',
    url,
  ])
  return code === 0 ? stdout : undefined
}

/** One pod asks another, which asks a third: `netexec` has a dial for that. */
async function dials(fixture: Fixture, protocol: 'http' | 'udp', fromHost: boolean): Promise<void> {
  const { api, ns } = fixture
  await needsContainers(fixture)
  const labels = { net: 'test' }
  const netserver = ['netexec', '--http-port=8083', '--udp-port=8081']
  const ports = [
    { containerPort: 8083, protocol: 'TCP' },
    { containerPort: 8081, protocol: 'UDP' },
  ]
  await api.post(
    ns('pods'),
    agnhostPod('netserver-0', netserver, { metadata: { labels }, container: { ports } }),
  )
  await api.post(
    ns('pods'),
    agnhostPod('test-container-pod', ['netexec', '--http-port=9080', '--udp-port=-1'], {
      spec: fromHost ? { hostNetwork: true } : {},
      ...(fromHost
        ? { container: { args: ['netexec', '--http-port=18290', '--udp-port=-1'] } }
        : {}),
    }),
  )
  const target = await runningPod(fixture, 'netserver-0')
  await runningPod(fixture, 'test-container-pod')
  const port = protocol === 'http' ? 8083 : 8081
  const own = fromHost ? 18_290 : 9080
  await fixture.until(
    `${protocol} answers`,
    async () => {
      const text = await curl(
        fixture,
        'test-container-pod',
        `http://127.0.0.1:${own}/dial?request=hostname&protocol=${protocol}&host=${target['status'].podIP}&port=${port}&tries=1`,
      )
      return text !== undefined && (JSON.parse(text) as Json)['responses']?.includes('netserver-0')
    },
    WITHIN,
  )
}

const GRANULAR = '[sig-network] Networking Granular Checks: Pods should function for'
for (const protocol of ['http', 'udp'] as const) {
  mirror(
    `${GRANULAR} intra-pod communication: ${protocol} [Conformance] [NodeConformance]`,
    (fixture) => dials(fixture, protocol, false),
  )
  mirror(
    `${GRANULAR} node-pod communication: ${protocol} [LinuxOnly] [Conformance] [NodeConformance]`,
    (fixture) => dials(fixture, protocol, true),
  )
}

const HOOK =
  '[sig-node] Container Lifecycle Hook when create a pod with lifecycle hook should execute'

/** The hook must have reached another pod: that pod's log says so, or its own answer. */
for (const [what, when, how] of [
  ['poststart exec', 'postStart', 'exec'],
  ['poststart http', 'postStart', 'http'],
  ['prestop exec', 'preStop', 'exec'],
  ['prestop http', 'preStop', 'http'],
] as const) {
  mirror(`${HOOK} ${what} hook properly [Conformance] [NodeConformance]`, async (fixture) => {
    const { api, ns, until } = fixture
    await needsContainers(fixture)
    // Writes down who asked: the echo of a file that each hook makes by a shell command.
    // A hook that finds nobody listening yet would fail, as it should: that is not what is tried here.
    await api.post(
      ns('pods'),
      agnhostPod('pod-handle-http-request', ['netexec', '--http-port=8080'], {
        container: {
          readinessProbe: { httpGet: { path: '/healthz', port: 8080 }, periodSeconds: 1 },
        },
      }),
    )
    const { status } = await runningPod(fixture, 'pod-handle-http-request')
    const path = '/shell?cmd=touch%20/tmp/hook-has-run'
    const handler =
      how === 'exec'
        ? {
            exec: { command: ['sh', '-c', `curl -q -s http://${status.podIP}:8080${path}`] },
          }
        : { httpGet: { path, host: status.podIP, port: 8080 } }
    const name = `pod-with-${when.toLowerCase()}-${how}-hook`
    await api.post(
      ns('pods'),
      agnhostPod(name, ['pause'], {
        container: { lifecycle: { [when]: handler } },
        spec: { terminationGracePeriodSeconds: 30 },
      }),
    )
    await runningPod(fixture, name)
    const hasRun = async (): Promise<boolean> =>
      (
        await tryKubectl(fixture, [
          'exec',
          'pod-handle-http-request',
          '--',
          'ls',
          '/tmp/hook-has-run',
        ])
      ).code === 0
    if (when === 'preStop') {
      assert.equal(await hasRun(), false)
      await api.delete(ns(`pods/${name}`), { gracePeriodSeconds: 15 })
      await until('the pod is gone', () => gone(api, ns(`pods/${name}`)), WITHIN)
    }
    await until('the hook has run', hasRun, 30_000)
  })
}

mirror(
  '[sig-node] PreStop should call prestop when killing a pod [Conformance]',
  async (fixture) => {
    const { api, ns, until } = fixture
    await needsContainers(fixture)
    await api.post(ns('pods'), agnhostPod('server', ['netexec', '--http-port=8080']))
    const { status } = await runningPod(fixture, 'server')
    const url = `http://${status.podIP}:8080/shell?cmd=touch%20/tmp/prestop`
    await api.post(
      ns('pods'),
      agnhostPod('tester', ['pause'], {
        container: { lifecycle: { preStop: { exec: { command: ['curl', '-q', '-s', url] } } } },
        spec: { terminationGracePeriodSeconds: 30 },
      }),
    )
    await runningPod(fixture, 'tester')
    await api.delete(ns('pods/tester'))
    await until(
      'the server was told',
      async () =>
        (await tryKubectl(fixture, ['exec', 'server', '--', 'ls', '/tmp/prestop'])).code === 0,
      60_000,
    )
    await until('the pod is gone', () => gone(api, ns('pods/tester')), WITHIN)
  },
)

/** Each replica says its own name when it is asked through the API server. */
const servesNames = async (
  fixture: Fixture,
  made: Json,
  collection: string,
  name: string,
): Promise<void> => {
  const { api, ns, until } = fixture
  await needsContainers(fixture)
  await api.post(collection, made)
  const pods = await readyPods(fixture, `name=${name}`, 1)
  for (const each of pods) {
    const podName = String(each['metadata'].name)
    await until(
      `${podName} answers`,
      async () => (await api.call('GET', ns(`pods/${podName}/proxy/`))).text.trim() === podName,
      WITHIN,
    )
  }
}
const SERVE = {
  image: AGNHOST,
  args: ['serve-hostname', '--port=9376'],
  ports: [{ containerPort: 9376 }],
}

mirror(
  '[sig-apps] ReplicationController should serve a basic image on each replica with a public image [Conformance]',
  (fixture) =>
    servesNames(
      fixture,
      replicationController('my-hostname-basic', { container: SERVE }),
      fixture.ns('replicationcontrollers'),
      'my-hostname-basic',
    ),
)

mirror(
  '[sig-apps] ReplicaSet should serve a basic image on each replica with a public image [Conformance]',
  (fixture) =>
    servesNames(
      fixture,
      replicaSet('my-hostname-basic', { container: SERVE }),
      `/apis/apps/v1/namespaces/${fixture.namespace}/replicasets`,
      'my-hostname-basic',
    ),
)

mirror(
  '[sig-network] HostPort validates that there is no conflict between pods with same hostPort but different hostIP and protocol [LinuxOnly] [Conformance]',
  async (fixture) => {
    const { api, ns, until } = fixture
    await needsContainers(fixture)
    const { items } = await api.get('/api/v1/nodes')
    const nodeName = String(items[0].metadata.name)
    const address = items[0].status.addresses.find((a: Json) => a['type'] === 'InternalIP').address
    const hostPort = 54_323
    const claiming = (name: string, hostIP: string, protocol: string): Json =>
      agnhostPod(name, ['netexec', '--http-port=8080', '--udp-port=8080'], {
        container: {
          ports: [{ hostPort, containerPort: 8080, protocol, hostIP }],
          readinessProbe: { httpGet: { path: '/hostname', port: 8080 } },
        },
        spec: {
          nodeSelector: {
            'kubernetes.io/hostname': items[0].metadata.labels['kubernetes.io/hostname'],
          },
        },
      })
    await api.post(ns('pods'), claiming('pod1', '127.0.0.1', 'TCP'))
    await api.post(ns('pods'), claiming('pod2', address, 'TCP'))
    await api.post(ns('pods'), claiming('pod3', address, 'UDP'))
    for (const name of ['pod1', 'pod2', 'pod3'])
      assert.equal((await runningPod(fixture, name))['spec'].nodeName, nodeName)
    await api.post(
      ns('pods'),
      agnhostPod('e2e-host-exec', ['pause'], { spec: { hostNetwork: true, nodeName } }),
    )
    await runningPod(fixture, 'e2e-host-exec')
    for (const [host, expected] of [
      ['127.0.0.1', 'pod1'],
      [address, 'pod2'],
    ] as const)
      await until(
        `${host} is ${expected}`,
        async () =>
          (await curl(fixture, 'e2e-host-exec', `http://${host}:${hostPort}/hostname`)) ===
          expected,
        WITHIN,
      )
  },
)

const SLICES = (namespace: string): string =>
  `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`

const slice = (name: string, of: string, address: string, port: Json): Json => ({
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: { name, labels: { 'kubernetes.io/service-name': of } },
  addressType: 'IPv4',
  endpoints: [{ addresses: [address], conditions: { ready: true } }],
  ports: [port],
})

for (const what of ['endpoint IPs', 'ports'] as const) {
  mirror(
    `[sig-network] EndpointSlice should support a Service with multiple ${what} specified in multiple EndpointSlices [Conformance]`,
    async (fixture) => {
      const { api, ns, namespace, until } = fixture
      await needsContainers(fixture)
      for (const name of ['one', 'two'])
        await api.post(ns('pods'), agnhostPod(name, ['netexec', '--http-port=8090']))
      await api.post(ns('pods'), agnhostPod('execpod', ['pause']))
      const [one, two] = [await runningPod(fixture, 'one'), await runningPod(fixture, 'two')].map(
        (each) => String(each['status'].podIP),
      )
      await runningPod(fixture, 'execpod')
      const several = what === 'ports'
      const made = await api.post(
        ns('services'),
        service('example-custom-endpoints', {
          ports: several
            ? [
                { name: 'port80', port: 80, protocol: 'TCP' },
                { name: 'port81', port: 81, protocol: 'TCP' },
              ]
            : [{ name: 'http', port: 80, protocol: 'TCP' }],
        }),
      )
      const target = (name: string): Json => ({ name, port: 8090, protocol: 'TCP' })
      await api.post(
        SLICES(namespace),
        slice(
          'custom-1',
          'example-custom-endpoints',
          one ?? '',
          target(several ? 'port80' : 'http'),
        ),
      )
      await api.post(
        SLICES(namespace),
        slice(
          'custom-2',
          'example-custom-endpoints',
          two ?? '',
          target(several ? 'port81' : 'http'),
        ),
      )
      const reached = new Set<string>()
      await until(
        'both are reached',
        async () => {
          for (const port of several ? [80, 81] : [80]) {
            const answer = await curl(
              fixture,
              'execpod',
              `http://${made['spec'].clusterIP}:${port}/hostname`,
            )
            if (answer !== undefined) reached.add(several ? `${port}=${answer}` : answer)
          }
          return several
            ? reached.has('80=one') && reached.has('81=two')
            : reached.has('one') && reached.has('two')
        },
        WITHIN,
      )
      // Nobody takes the user's own slices away.
      assert.ok(names(await api.get(SLICES(namespace))).includes('custom-1'))
    },
  )
}

const METHODS = ['DELETE', 'OPTIONS', 'PATCH', 'POST', 'PUT', 'GET', 'HEAD'] as const

for (const [what, path] of [
  ['Proxy', ''],
  ['ProxyWithPath', '/some/path/with/'],
] as const) {
  mirror(
    `[sig-network] Proxy version v1 A set of valid responses are returned for both pod and service ${what} [Conformance]`,
    async (fixture) => {
      const { api, ns, until } = fixture
      await needsContainers(fixture)
      const labels = { e2e: 'test' }
      await api.post(
        ns('pods'),
        agnhostPod('agnhost', ['porter', '--json-response'], {
          metadata: { labels },
          container: {
            env: [{ name: 'SERVE_PORT_80', value: 'foo' }],
            ports: [{ name: 'http', containerPort: 80 }],
          },
        }),
      )
      await runningPod(fixture, 'agnhost')
      await api.post(
        ns('services'),
        service('e2e-proxy-test-service', {
          selector: labels,
          ports: [{ port: 80, targetPort: 80, protocol: 'TCP' }],
        }),
      )
      for (const base of [ns('pods/agnhost/proxy'), ns('services/e2e-proxy-test-service/proxy')]) {
        for (const method of METHODS) {
          // Only who reads a page is sent to the address with the last slash.
          const root = method === 'GET' || method === 'HEAD' ? `${base}/` : base
          const target = path === '' ? `${root}?method=${method}` : `${base}${path}${method}`
          const answer = await until(
            `${method} ${target}`,
            async () => {
              const found = await api.call(method, target)
              return found.status === 200 && found
            },
            WITHIN,
          )
          if (method !== 'HEAD')
            assert.equal(answer.json['method'] ?? answer.json['Method'], method, answer.text)
        }
        // Without the last slash the client is sent to the address with it.
        const redirected = await api.call('GET', `${base}?method=GET`)
        assert.equal(redirected.status, 301)
        assert.ok(String(redirected.headers['location']).includes('/proxy/?method=GET'))
      }
    },
  )
}

mirror(
  '[sig-network] Proxy version v1 should proxy through a service and a pod [Conformance]',
  async (fixture) => {
    const { api, ns, until } = fixture
    await needsContainers(fixture)
    const labels = { 'proxy-service-test': 'yes' }
    await api.post(
      ns('services'),
      service('proxy-service', {
        selector: labels,
        ports: [
          { name: 'portname1', port: 80, targetPort: 'dest1' },
          { name: 'portname2', port: 81, targetPort: 162 },
        ],
      }),
    )
    await api.post(
      ns('pods'),
      agnhostPod('proxy-pod', ['porter'], {
        metadata: { labels },
        container: {
          env: [
            { name: 'SERVE_PORT_80', value: '<a href="/rewriteme">test</a>' },
            { name: 'SERVE_PORT_1080', value: '<a href="/rewriteme">test</a>' },
            { name: 'SERVE_PORT_160', value: 'foo' },
            { name: 'SERVE_PORT_162', value: 'bar' },
          ],
          ports: [
            { name: 'dest1', containerPort: 160 },
            { name: 'dest2', containerPort: 162 },
          ],
          readinessProbe: { httpGet: { port: 80 }, periodSeconds: 1 },
        },
      }),
    )
    await runningPod(fixture, 'proxy-pod')
    const expected: readonly (readonly [string, RegExp])[] = [
      ['services/proxy-service:portname1/proxy/', /^foo$/],
      ['services/http:proxy-service:portname1/proxy/', /^foo$/],
      ['services/proxy-service:portname2/proxy/', /^bar$/],
      ['services/proxy-service:80/proxy/', /^foo$/],
      ['services/proxy-service:81/proxy/', /^bar$/],
      ['pods/proxy-pod:1080/proxy/', /href="[^"]*\/pods\/proxy-pod:1080\/proxy\/rewriteme"/],
      ['pods/proxy-pod:160/proxy/', /^foo$/],
      ['pods/proxy-pod:162/proxy/', /^bar$/],
      ['pods/http:proxy-pod:160/proxy/', /^foo$/],
    ]
    for (const [path, wanted] of expected)
      await until(
        path,
        async () => {
          const answer = await api.call('GET', ns(path))
          return answer.status === 200 && wanted.test(answer.text.trim())
        },
        60_000,
      )
  },
)
