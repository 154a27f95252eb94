/**
 * A node's runtime and network together, below the API: our own containerd, its pods on our bridge, a Service over them,
 * and names. Runs itself again in namespaces of its own, so that the machine keeps no trace.
 */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { EndpointSlice, Service } from '#api'
import { realEnv } from '#base'
import {
  BUSYBOX_IMAGE,
  busyboxImage,
  checkHost,
  type Containerd,
  criRuntime,
  type CriRuntime,
  DEMO_IMAGE,
  demoImage,
  findTool,
  readBusybox,
  startContainerd,
} from '#kubelet'
import {
  type Change,
  type Dns,
  type Follow,
  type PodNetwork,
  type ServiceProxy,
  setUpPodNetwork,
  startDns,
  startServiceProxy,
} from '#network'

const env = realEnv({ level: 'warn' })
const INSIDE = 'NVT_INSIDE'

if (env.process.environment[INSIDE] === undefined) {
  const problems = (await checkHost(env)).filter(({ severity }) => severity === 'error')
  const skip = problems.length > 0 && problems.map(({ message }) => message).join('; ')
  test('runtime and network of a node work together', { skip }, async () => {
    const { code, stdout, stderr } = await env.process.run(
      [
        'unshare',
        ...`--net --pid --fork --kill-child --mount-proc ${process.execPath} --test --test-isolation=none`.split(
          ' ',
        ),
        import.meta.filename,
      ],
      { env: { [INSIDE]: '1', NODE_TEST_CONTEXT: '' }, timeoutMs: 120_000 },
    )
    assert.equal(code, 0, stdout + stderr)
  })
} else {
  insideTests()
}

function insideTests(): void {
  const folder = `/tmp/nvt-node-${env.random.uuid().slice(0, 8)}`
  const cgroupParent = `/nvt-${env.random.uuid().slice(0, 8)}`
  const stop = new AbortController()
  const sources = { services: source<Service>(), slices: source<EndpointSlice>() }
  let network: PodNetwork
  let containerd: Containerd
  let cri: CriRuntime
  let proxy: ServiceProxy
  let dns: Dns

  const sh = async (script: string): Promise<string> => {
    const { code, stdout, stderr } = await env.process.run(['sh', '-ec', script])
    assert.equal(code, 0, `${script}\n${stderr}`)
    return stdout
  }

  interface Pod {
    readonly name: string
    readonly ip: string
    readonly sandbox: string
    readonly container: string
  }
  const unconfined = { profileType: 'Unconfined', localhostRef: '' } as const
  const namespaceOptions = { network: 'POD', pid: 'CONTAINER', ipc: 'POD' } as const
  const startPod = async (
    name: string,
    image: string,
    version = '1',
    args: readonly string[] = [],
  ): Promise<Pod> => {
    const sandboxConfig = {
      metadata: { name, uid: name, namespace: 'shop', attempt: 0 },
      hostname: name,
      logDirectory: `${folder}/logs/${name}`,
      dnsConfig: {
        servers: ['10.96.0.10'],
        searches: ['shop.svc.cluster.local', 'svc.cluster.local', 'cluster.local'],
        options: ['ndots:5'],
      },
      portMappings: [],
      labels: {},
      annotations: {},
      linux: {
        cgroupParent,
        securityContext: {
          namespaceOptions,
          supplementalGroups: [],
          supplementalGroupsPolicy: 'Merge',
          privileged: false,
          readonlyRootfs: false,
          seccomp: unconfined,
        },
        sysctls: {},
      },
    } as const
    await env.fs.makeFolder(sandboxConfig.logDirectory)
    const sandbox = await cri.runPodSandbox(sandboxConfig, '')
    const container = await cri.createContainer(
      sandbox,
      {
        metadata: { name: 'main', attempt: 0 },
        image,
        userSpecifiedImage: image,
        command: [],
        args,
        workingDir: '',
        envs: [{ key: 'VERSION', value: version }],
        mounts: [],
        devices: [],
        labels: {},
        annotations: {},
        logPath: 'main.log',
        stdin: false,
        stdinOnce: false,
        tty: false,
        linux: {
          resources: {},
          securityContext: {
            capabilities: { add: [], drop: [] },
            privileged: false,
            namespaceOptions,
            readonlyRootfs: false,
            supplementalGroups: [],
            supplementalGroupsPolicy: 'Merge',
            noNewPrivs: false,
            maskedPaths: [],
            readonlyPaths: [],
            seccomp: unconfined,
          },
        },
      },
      sandboxConfig,
    )
    await cri.startContainer(container)
    const [ip = ''] = (await cri.podSandboxStatus(sandbox))?.ips ?? []
    return { name, ip, sandbox, container }
  }
  const answering = async ({ ip }: Pod): Promise<void> => {
    for (let tries = 0; ; tries++) {
      if ((await get(ip, 8080)).ok) return
      assert.ok(tries < 500, 'the pod does not answer')
      await env.clock.sleep(5)
    }
  }
  /** What a browser does: connect, ask, read to the end. */
  const get = async (host: string, port: number): Promise<{ ok: boolean; text: string }> => {
    try {
      const socket = await env.net.connect({ host, port })
      socket.write(`GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n`)
      let text = ''
      for await (const chunk of socket) text += String(chunk)
      return { ok: /^HTTP\/1\.[01] 200/.test(text), text }
    } catch (error) {
      return { ok: false, text: String(error) }
    }
  }

  const meta = { name: 'web', namespace: 'shop', resourceVersion: '1' } as Service['metadata']
  const publish = (
    pods: readonly { readonly pod: Pod; readonly terminating?: boolean }[],
  ): void => {
    sources.slices.tell({
      type: 'set',
      object: {
        metadata: { ...meta, name: 'web-1', labels: { 'kubernetes.io/service-name': 'web' } },
        addressType: 'IPv4',
        ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
        endpoints: pods.map(({ pod, terminating = false }) => ({
          addresses: [pod.ip],
          nodeName: 'n1',
          conditions: { ready: !terminating, serving: true, terminating },
        })),
      },
    })
  }

  before(async () => {
    await sh('ip link set lo up')
    const cniConfDir = `${folder}/cni`
    network = await setUpPodNetwork({
      env,
      podCidr: '10.244.0.0/24',
      serviceCidr: '10.96.0.0/16',
      cniConfDir,
      leaseDir: `${folder}/leases`,
      bridge: 'nvt0',
    })
    containerd = await startContainerd({
      env,
      dataDir: `${folder}/data`,
      runDir: `${folder}/run`,
      cniConfDir,
    })
    cri = criRuntime({ socketPath: containerd.socket }, env)
    const busybox = await readBusybox(env, (await findTool(env, 'busybox')) ?? '')
    assert.ok(busybox)
    await containerd.images.put(busyboxImage(busybox, containerd.architecture))
    await containerd.images.put(demoImage(busybox, containerd.architecture))
    sources.services.tell({
      type: 'set',
      object: {
        metadata: meta,
        spec: { clusterIP: '10.96.0.5', ports: [{ name: 'http', port: 80, protocol: 'TCP' }] },
      },
    })
    const follow = {
      services: sources.services.follow,
      endpointSlices: sources.slices.follow,
      clusterCidr: '10.244.0.0/16',
      serviceCidr: '10.96.0.0/16',
    }
    proxy = await startServiceProxy({ env, ...follow, node: { nodeName: 'n1' } }, stop.signal)
    dns = await startDns(
      { env, ...follow, address: network.gateway, clusterIP: '10.96.0.10', upstreams: [] },
      stop.signal,
    )
    const kubeDns = { ...meta, name: 'kube-dns', namespace: 'kube-system' }
    const ports = [
      { name: 'dns', port: 53, protocol: 'UDP' as const },
      { name: 'dns-tcp', port: 53, protocol: 'TCP' as const },
    ]
    sources.services.tell({
      type: 'set',
      object: { metadata: kubeDns, spec: { clusterIP: '10.96.0.10', ports } },
    })
    sources.slices.tell({
      type: 'set',
      object: {
        metadata: {
          ...kubeDns,
          name: 'kube-dns-n1',
          labels: { 'kubernetes.io/service-name': 'kube-dns' },
        },
        addressType: 'IPv4',
        ports: ports.map((port) => ({ ...port, port: dns.port })),
        endpoints: [{ addresses: [dns.address], nodeName: 'n1', conditions: { ready: true } }],
      },
    })
  })
  after(async () => {
    cri?.close()
    await dns?.stop()
    await proxy?.stop({ cleanup: true })
    await containerd?.destroy()
    await network?.tearDown()
    await sh(
      `find /sys/fs/cgroup -depth -type d -path '*${cgroupParent}*' -exec rmdir {} + || true`,
    )
    await env.fs.remove(folder)
    assert.doesNotMatch(await env.fs.readText('/proc/self/mountinfo'), new RegExp(folder))
  })

  test('a pod gets an address on the bridge, a host name and our name server', async () => {
    const pod = await startPod('tool', BUSYBOX_IMAGE, '1', ['sleep', '1000'])
    assert.match(pod.ip, /^10\.244\.0\.\d+$/)
    const run = async (...command: readonly string[]) => {
      const { exitCode, stdout, stderr } = await cri.execSync(pod.container, command, 10)
      return { exitCode, text: Buffer.from(stdout).toString() + Buffer.from(stderr).toString() }
    }
    assert.equal((await run('hostname')).text, 'tool\n')
    const web = await startPod('web-x', DEMO_IMAGE)
    await answering(web)
    publish([{ pod: web }])
    const names = ['web', 'web.shop', 'web.shop.svc', 'web.shop.svc.cluster.local']
    for (const name of names) {
      const { text } = await run('timeout', '5', 'wget', '-qO-', `http://${name}/`)
      assert.equal(text, 'Hello from web-x, version 1\n', name)
    }
    assert.match((await run('nslookup', '10.96.0.5')).text, /web\.shop\.svc\.cluster\.local/)
    assert.notEqual((await run('nslookup', 'gone.shop.svc.cluster.local')).exitCode, 0)
    publish([])
    await proxy.drained({ ips: [web.ip] }, AbortSignal.timeout(5_000))
    for (const { sandbox } of [pod, web]) {
      await cri.stopPodSandbox(sandbox)
      await cri.removePodSandbox(sandbox)
    }
  })

  test('replacing every pod under constant requests loses none', async () => {
    let pods = await Promise.all([1, 2, 3].map((n) => startPod(`old-${n}`, DEMO_IMAGE, '1')))
    await Promise.all(pods.map(answering))
    publish(pods.map((pod) => ({ pod })))
    while (!(await get('10.96.0.5', 80)).ok) await env.clock.sleep(5)

    let running = true
    const seen = new Map<string, number>()
    const failures: string[] = []
    const client = async (): Promise<void> => {
      while (running) {
        const { ok, text } = await get('10.96.0.5', 80)
        const from = /Hello from (\S+), version (\d)/.exec(text)?.[1]
        if (!ok || from === undefined) failures.push(text)
        else seen.set(from, (seen.get(from) ?? 0) + 1)
      }
    }
    const clients = Array.from({ length: 8 }, client)
    for (const n of [1, 2, 3]) {
      const fresh = await startPod(`new-${n}`, DEMO_IMAGE, '2')
      await answering(fresh)
      const [oldest, ...others] = pods
      assert.ok(oldest)
      pods = [...others, fresh]
      publish([...pods.map((pod) => ({ pod })), { pod: oldest, terminating: true }])
      await proxy.drained({ ips: [oldest.ip] }, AbortSignal.timeout(5_000))
      const began = env.clock.monotonic()
      await cri.stopContainer(oldest.container, 10)
      assert.ok(env.clock.monotonic() - began < 3_000, 'the demo ends on SIGTERM')
      publish(pods.map((pod) => ({ pod })))
      await cri.stopPodSandbox(oldest.sandbox)
      await cri.removePodSandbox(oldest.sandbox)
    }
    running = false
    await Promise.all(clients)
    const total = [...seen.values()].reduce((sum, count) => sum + count, 0)
    console.log(`${total} requests, ${failures.length} lost`, Object.fromEntries(seen))
    assert.deepEqual(failures.slice(0, 3), [])
    assert.equal(seen.size, 6)
    assert.ok(total > 100)
  })
}

/** Objects that remember and tell. */
function source<T extends { readonly metadata: Service['metadata'] }>(): {
  readonly tell: (change: Change<T>) => void
  readonly follow: Follow<T>
} {
  const objects = new Map<string, T>()
  const listeners = new Set<(change: Change<T>) => void>()
  const key = ({ metadata }: T): string => `${metadata.namespace}/${metadata.name}`
  return {
    tell(change) {
      if (change.type === 'gone') objects.delete(key(change.object))
      else objects.set(key(change.object), change.object)
      for (const listener of listeners) listener(change)
    },
    async follow(onChange, signal) {
      for (const object of objects.values()) onChange({ type: 'set', object })
      listeners.add(onChange)
      signal.addEventListener('abort', () => listeners.delete(onChange), { once: true })
    },
  }
}
