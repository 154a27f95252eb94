/** The kubelet with real containers and an API in memory. Needs root and the Debian packages of `checkHost`. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { PassThrough, type Readable } from 'node:stream'
import { realEnv } from '#base'
import { type Container, type Pod, configMaps, nodes, pods, secrets } from '#api'
import { memoryTransport } from '#client/testing'
import { BUSYBOX_IMAGE, type TestHost, startTestHost, whyNot } from './testing/host.ts'
import { type TestNode, startTestNode } from './testing/node.ts'
import { type PodOptions, pod } from './testing/pods.ts'

const env = realEnv({ level: 'error' })
const skip = await whyNot(env)
let host: TestHost
let node: TestNode
const api = memoryTransport({ clock: env.clock })

const start = () =>
  startTestNode(
    env,
    host.runtime,
    {
      rootDir: `${host.folder}/kubelet`,
      logRoot: `${host.folder}/logs`,
      clusterDns: ['10.96.0.10'],
      cgroupRoot: `/nvt-kubelet-${env.process.pid}`,
    },
    { api },
  )

before(async () => {
  if (skip) return
  host = await startTestHost(env, 3)
  node = await start()
  await node.kubelet.ready
})
after(async () => {
  if (skip) return
  for (const { metadata } of api.store.list<Pod>(pods)) node.remove(metadata.name, 0)
  await eventually(() => api.store.list(pods).length === 0)
  await node.stop()
  await host.close()
  const { stdout } = await env.process.run([
    'sh',
    '-c',
    `find /sys/fs/cgroup -depth -type d -path '*nvt-kubelet-${env.process.pid}*' -exec rmdir {} \\; 2>&1`,
  ])
  assert.equal(stdout, '')
})

async function eventually(holds: () => boolean | Promise<boolean>, seconds = 20): Promise<void> {
  const deadline = env.clock.monotonic() + seconds * 1000
  while (!(await holds())) {
    if (env.clock.monotonic() > deadline) {
      assert.fail(
        `not within ${seconds} s: ${holds.toString()}\n${api.store
          .list<Pod>(pods)
          .map(
            ({ metadata, status }) =>
              `${metadata.name} ${JSON.stringify(status)}\n${node.events(metadata.name).join('\n')}`,
          )
          .join('\n')}`,
      )
    }
    await env.clock.sleep(20)
  }
}

type Options = Omit<PodOptions, 'containers'> & {
  readonly containers?: readonly Partial<Container>[]
}
const sleeper = ['sh', '-c', 'trap "exit 0" TERM; sleep 1000 & wait']

function create(name: string, { containers = [{}], ...options }: Options = {}): Pod {
  return node.create(
    pod({
      ...options,
      metadata: { ...options.metadata, name },
      containers: containers.map((container, index) => ({
        name: index === 0 ? 'app' : `c${index}`,
        image: BUSYBOX_IMAGE,
        imagePullPolicy: 'IfNotPresent',
        command: sleeper,
        ...container,
      })),
    }),
  )
}

const status = (name: string) => node.get(name)?.status
const app = (name: string) => status(name)?.containerStatuses?.[0]
const isReady = (name: string) =>
  status(name)?.conditions?.find(({ type }) => type === 'Ready')?.status === 'True'
const target = (name: string) => ({ namespace: 'shop', pod: name })
const signal = () => AbortSignal.timeout(20_000)

async function textOf(stream: Readable): Promise<string> {
  let text = ''
  for await (const chunk of stream) text += String(chunk)
  return text
}

async function exec(name: string, ...command: readonly string[]): Promise<string> {
  const stdout = new PassThrough()
  const text = textOf(stdout)
  const stderr = new PassThrough()
  stderr.resume()
  await node.kubelet.nodeApi.exec(
    target(name),
    { container: 'app', command, tty: false },
    { stdout, stderr },
    signal(),
  )
  stdout.end()
  return text
}

async function logs(name: string, options = {}): Promise<string> {
  let text = ''
  const all = await node.kubelet.nodeApi.logs(
    target(name),
    { container: 'app', ...options },
    signal(),
  )
  for await (const chunk of all) text += Buffer.from(chunk).toString()
  return text
}

test('the node is as large as the machine, and Ready', { skip }, () => {
  const n1 = api.store.get(nodes, { name: 'n1' })
  assert.ok(Number(n1?.status?.capacity?.['cpu']) >= 1)
  assert.match(n1?.status?.capacity?.['memory'] ?? '', /^\d+Ki$/)
  assert.match(n1?.status?.nodeInfo?.containerRuntimeVersion ?? '', /^containerd:\/\//)
  assert.equal(n1?.status?.conditions?.find(({ type }) => type === 'Ready')?.status, 'True')
})

test(
  'a pod runs with environment, files, volumes, limits, and goes without a trace',
  { skip },
  async () => {
    api.store.create(configMaps, {
      metadata: { name: 'settings', namespace: 'shop' },
      data: { 'a.conf': 'one' },
    })
    api.store.create(secrets, {
      metadata: { name: 'login', namespace: 'shop' },
      data: { password: Buffer.from('secret').toString('base64') },
    })
    create('full', {
      hostname: 'full-host',
      subdomain: 'sub',
      hostAliases: [{ ip: '1.2.3.4', hostnames: ['alias'] }],
      volumes: [
        { name: 'cfg', configMap: { name: 'settings' } },
        { name: 'sec', secret: { secretName: 'login', defaultMode: 0o400 } },
        { name: 'tmp', emptyDir: {} },
        { name: 'mem', emptyDir: { medium: 'Memory', sizeLimit: '1Mi' } },
        {
          name: 'token',
          projected: {
            sources: [
              { serviceAccountToken: { path: 'token', expirationSeconds: 3600 } },
              {
                downwardAPI: {
                  items: [{ path: 'name', fieldRef: { fieldPath: 'metadata.name' } }],
                },
              },
            ],
          },
        },
      ],
      containers: [
        {
          env: [
            { name: 'POD_IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
            { name: 'WHO', value: 'at $(POD_IP)' },
          ],
          resources: { requests: { cpu: '100m' }, limits: { cpu: '200m', memory: '64Mi' } },
          volumeMounts: [
            { name: 'cfg', mountPath: '/cfg' },
            { name: 'cfg', mountPath: '/one.conf', subPath: 'a.conf' },
            { name: 'sec', mountPath: '/sec' },
            { name: 'tmp', mountPath: '/tmp' },
            { name: 'tmp', mountPath: '/sub', subPath: 'x/y' },
            { name: 'mem', mountPath: '/mem' },
            { name: 'token', mountPath: '/token' },
          ],
          securityContext: { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true },
        },
      ],
    })
    await eventually(() => isReady('full'))
    const ip = status('full')?.podIP ?? ''
    assert.match(ip, /^10\.193\./)
    const script = [
      'echo "$WHO"; hostname; cat /etc/hosts /etc/resolv.conf',
      'cat /cfg/a.conf /one.conf /sec/password /token/token /token/name; echo',
      'stat -c %a /tmp /sec/..data/password /mem; touch /tmp/f /sub/g && ls /tmp/x/y',
      'grep NoNewPrivs /proc/self/status; touch /denied 2>/dev/null || echo read-only; df -k /mem | tail -1',
    ].join('; ')
    const text = await exec('full', 'sh', '-c', script)
    assert.match(text, new RegExp(`at ${ip}\nfull-host\n# Kubernetes-managed hosts file`))
    assert.ok(text.includes(`${ip}\tfull-host.sub.shop.svc.cluster.local\tfull-host`))
    assert.ok(text.includes('1.2.3.4\talias'))
    assert.match(text, /search shop\.svc\.cluster\.local svc\.cluster\.local cluster\.local/)
    assert.match(text, /nameserver 10\.96\.0\.10/)
    assert.match(text, /oneonesecrettoken-\d+full/)
    assert.match(text, /\n777\n400\n\d?777\n/)
    assert.match(text, /\ng\nNoNewPrivs:\s*1\nread-only\n/)
    assert.match(text, /1024 /)

    api.store.patch(
      configMaps,
      { namespace: 'shop', name: 'settings' },
      {
        contentType: 'application/merge-patch+json',
        patch: { data: { 'a.conf': 'two', b: 'new' } },
      },
    )
    await eventually(async () => (await exec('full', 'cat', '/cfg/a.conf')) === 'two', 5)

    const folder = `${host.folder}/kubelet/pods/${node.get('full')?.metadata.uid}`
    node.remove('full', 5)
    await eventually(() => node.get('full') === undefined)
    assert.equal(await env.fs.stat(folder), undefined)
    assert.doesNotMatch(await env.fs.readText('/proc/self/mountinfo'), new RegExp(folder))
  },
)

test(
  'logs: all, the last lines, followed to the end, and of the one before',
  { skip },
  async () => {
    create('logger', {
      restartPolicy: 'OnFailure',
      containers: [
        {
          command: [
            'sh',
            '-c',
            'for i in 1 2 3; do echo line $i; done; sleep 1; echo late; [ -e /tmp/again ] || exit 1',
          ],
          terminationMessagePolicy: 'FallbackToLogsOnError',
        },
      ],
    })
    await eventually(() => app('logger')?.state?.running !== undefined)
    assert.match(await logs('logger', { follow: true }), /line 1\nline 2\nline 3\nlate\n$/)
    await eventually(() => (app('logger')?.restartCount ?? 0) >= 1)
    assert.match(await logs('logger', { previous: true, tailLines: 1 }), /^late\n$/)
    assert.match(app('logger')?.lastState?.terminated?.message ?? '', /line 3\nlate\n$/)
    node.remove('logger', 0)
  },
)

test('a killed process is replaced at once, then backed off', { skip }, async () => {
  create('victim', { shareProcessNamespace: true })
  await eventually(() => isReady('victim'))
  const id = app('victim')?.containerID
  await exec(
    'victim',
    'sh',
    '-c',
    'kill -KILL $(pidof sleep) 2>/dev/null; kill -KILL $(pgrep -f trap)',
  ).catch(() => {})
  await eventually(() => app('victim')?.restartCount === 1 && isReady('victim'), 10)
  assert.notEqual(app('victim')?.containerID, id)
  assert.equal(app('victim')?.lastState?.terminated?.containerID, id)
  node.remove('victim', 0)
})

test('probes over HTTP, TCP and commands; a failing one restarts', { skip }, async () => {
  create('probed', {
    containers: [
      {
        command: ['sh', '-c', 'mkdir /w; echo ok > /w/index.html; exec httpd -f -p 8080 -h /w'],
        ports: [{ name: 'http', containerPort: 8080 }],
        readinessProbe: { httpGet: { path: '/', port: 'http' }, periodSeconds: 1 },
        livenessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1 },
      },
      {
        command: ['sh', '-c', 'touch /alive; sleep 1000'],
        livenessProbe: {
          exec: { command: ['test', '-e', '/alive'] },
          periodSeconds: 1,
          failureThreshold: 1,
          terminationGracePeriodSeconds: 1,
        },
      },
    ],
  })
  await eventually(() => isReady('probed'))
  await exec('probed', 'rm', '/w/index.html')
  await eventually(
    () => !isReady('probed') && node.events('probed').join('\n').includes('statuscode: 404'),
  )
  await node.kubelet.nodeApi.exec(
    target('probed'),
    { container: 'c1', command: ['rm', '/alive'], tty: false },
    {},
    signal(),
  )
  await eventually(() => status('probed')?.containerStatuses?.[1]?.restartCount === 1)
  node.remove('probed', 0)
})

test('hooks run, SIGTERM is heard, and the last words are kept', { skip }, async () => {
  create('polite', {
    restartPolicy: 'Never',
    volumes: [
      { name: 'shared', hostPath: { path: `${host.folder}/shared`, type: 'DirectoryOrCreate' } },
    ],
    containers: [
      {
        command: [
          'sh',
          '-c',
          'trap "echo bye > /dev/termination-log; exit 3" TERM; sleep 1000 & wait',
        ],
        volumeMounts: [{ name: 'shared', mountPath: '/shared' }],
        lifecycle: {
          postStart: { exec: { command: ['sh', '-c', 'echo started > /shared/hooks'] } },
          preStop: { exec: { command: ['sh', '-c', 'echo stopping >> /shared/hooks'] } },
        },
      },
    ],
  })
  await eventually(() => isReady('polite'))
  const seen: (string | undefined)[] = []
  const stop = api.store.onEvent(({ event }) => {
    const gone = event.object as Pod
    if (gone.metadata.name === 'polite') {
      seen.push(gone.status?.containerStatuses?.[0]?.state?.terminated?.message)
    }
  })
  node.remove('polite', 20)
  await eventually(() => node.get('polite') === undefined, 10)
  stop()
  assert.ok(seen.includes('bye\n'))
  assert.equal(await env.fs.readText(`${host.folder}/shared/hooks`), 'started\nstopping\n')
})

test('a port is forwarded, also one that listens on localhost only', { skip }, async () => {
  create('server', {
    containers: [
      {
        command: [
          'sh',
          '-c',
          'mkdir /w; echo hi > /w/index.html; httpd -p 8080 -h /w; exec httpd -f -p 127.0.0.1:9090 -h /w',
        ],
      },
    ],
  })
  await eventually(() => isReady('server'))
  for (const port of [8080, 9090]) {
    await eventually(async () => {
      try {
        const socket = await node.kubelet.nodeApi.portForward(target('server'), port, signal())
        socket.write('GET / HTTP/1.0\r\n\r\n')
        return (await textOf(socket)).includes('hi')
      } catch {
        return false
      }
    }, 5)
  }
  await assert.rejects(node.kubelet.nodeApi.portForward(target('server'), 1, signal()), /refused/)
  node.remove('server', 0)
})

test(
  'a pod on the network of its node, with an init container and a sidecar',
  { skip },
  async () => {
    const common = { image: BUSYBOX_IMAGE, imagePullPolicy: 'IfNotPresent' as const }
    create('hosted', {
      hostNetwork: true,
      hostPID: true,
      terminationGracePeriodSeconds: 3,
      volumes: [{ name: 'shared', emptyDir: {} }],
      initContainers: [
        { name: 'proxy', restartPolicy: 'Always', command: sleeper, ...common },
        {
          name: 'setup',
          command: ['sh', '-c', 'echo ready > /shared/file'],
          volumeMounts: [{ name: 'shared', mountPath: '/shared' }],
          ...common,
        },
      ],
      containers: [{ volumeMounts: [{ name: 'shared', mountPath: '/shared' }] }],
    })
    await eventually(() => isReady('hosted'))
    assert.equal(status('hosted')?.podIP, '192.168.0.1')
    assert.match(
      await exec('hosted', 'cat', '/shared/file', '/etc/hosts'),
      /^ready\n# Kubernetes-managed hosts file \(host network\)/,
    )
    const states = status('hosted')?.initContainerStatuses?.map(
      ({ state }) => Object.keys(state ?? {})[0],
    )
    assert.deepEqual(states, ['running', 'terminated'])
    node.remove('hosted', 3)
    await eventually(() => node.get('hosted') === undefined)
  },
)

test(
  'what a pod uses is in the pages, and one that fills its volume is evicted',
  { skip },
  async () => {
    const fill = 'dd if=/dev/zero of=/cache/x bs=1M count=4 2>/dev/null; sleep 1000 & wait'
    const cache = [{ name: 'cache', mountPath: '/cache' }]
    const limits = { cpu: '500m', memory: '64Mi' }
    create('modest', {
      containers: [{ command: ['sh', '-c', fill], volumeMounts: cache, resources: { limits } }],
      volumes: [{ name: 'cache', emptyDir: { sizeLimit: '8Mi' } }],
    })
    create('filler', {
      containers: [{ command: ['sh', '-c', fill], volumeMounts: cache }],
      volumes: [{ name: 'cache', emptyDir: { sizeLimit: '2Mi' } }],
    })
    await eventually(() => status('filler')?.reason === 'Evicted', 40)
    assert.equal(
      status('filler')?.message,
      'Usage of EmptyDir volume "cache" exceeds the limit "2Mi". ',
    )
    assert.equal(status('modest')?.phase, 'Running')
    const page = async (path: string): Promise<string> => {
      const found = await node.kubelet.nodeApi.page(path, '')
      return Buffer.from(found?.body ?? []).toString()
    }
    const about =
      'container="app",id="[^"]+",image="[^"]+",name="[0-9a-f]{64}",namespace="shop",pod="modest"'
    const numbers = await page('/metrics/cadvisor')
    for (const sample of [
      `container_cpu_usage_seconds_total\\{${about},cpu="total"\\} [\\d.]+`,
      `container_memory_working_set_bytes\\{${about}\\} [1-9]\\d+`,
      `container_spec_memory_limit_bytes\\{${about}\\} ${64 * 2 ** 20}`,
      `container_spec_cpu_quota\\{${about}\\} 50000`,
      'container_network_receive_bytes_total\\{container="",id="[^"]+",image="",name="[0-9a-f]{64}",namespace="shop",pod="modest",interface="eth0"\\} \\d+',
    ])
      assert.match(numbers, new RegExp(`^${sample}$`, 'm'))
    const { pods: shown } = JSON.parse(await page('/stats/summary')) as {
      pods: { podRef: { name: string }; volume: { name: string; usedBytes: number }[] }[]
    }
    const volume = shown.find(({ podRef }) => podRef.name === 'modest')?.volume[0]
    assert.equal(volume?.name, 'cache')
    assert.ok(
      volume.usedBytes >= 4 * 2 ** 20 && volume.usedBytes < 5 * 2 ** 20,
      `${volume.usedBytes}`,
    )
    node.remove('filler', 0)
    node.remove('modest', 0)
  },
)

test('a runtime that dies and comes back loses no pod and no event', { skip }, async () => {
  create('survivor')
  await eventually(() => isReady('survivor'))
  const id = app('survivor')?.containerID
  const before = host.containerd.pid()
  await env.process.run(['kill', '-KILL', String(before)])
  await eventually(() => host.containerd.pid() !== before)
  await eventually(
    async () => (await exec('survivor', 'echo', 'alive').catch(() => '')) === 'alive\n',
  )
  assert.equal(app('survivor')?.containerID, id)
  await exec('survivor', 'sh', '-c', 'kill -TERM 1')
  await eventually(() => app('survivor')?.restartCount === 1 && isReady('survivor'))
  node.remove('survivor', 0)
})

test('a restarted kubelet finds containers running and goes on with them', { skip }, async () => {
  create('steady')
  await eventually(() => isReady('steady'))
  const id = app('steady')?.containerID
  await node.stop()
  node = await start()
  await node.kubelet.ready
  await env.clock.sleep(300)
  assert.equal(app('steady')?.containerID, id)
  assert.ok(isReady('steady'))
  assert.match(await exec('steady', 'echo', 'alive'), /alive/)
  node.remove('steady', 0)
})

// The budget of 400 ms is for the benchmark: this machine may be busy with other things.
test('from created to Running takes well under a second', { skip }, async () => {
  const times: number[] = []
  for (let index = 0; index < 7; index++) {
    const since = env.clock.monotonic()
    const name = `fast-${index}`
    const { promise, resolve } = Promise.withResolvers<void>()
    const stop = api.store.onEvent(({ event }) => {
      const { metadata, status: now } = event.object as Pod
      if (metadata.name === name && now?.phase === 'Running') resolve()
    })
    create(name)
    await promise
    stop()
    times.push(env.clock.monotonic() - since)
    node.remove(name, 0)
    await eventually(() => node.get(name) === undefined)
  }
  times.sort((a, b) => a - b)
  assert.ok((times[3] ?? 0) < 1000, `median ${times[3]} ms`)
  console.log('start in ms', times.map(Math.round).join(' '))
})
