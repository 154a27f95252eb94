/** Three nodes on one machine, each in namespaces of its own, with real containers: what `navarch up --nodes 3` gives. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { canRunContainers, eventually, startCluster, type TestCluster } from '../support/navarch.ts'
import { constantRequests } from '../support/requests.ts'

const IMAGE = 'navarch.local/demo:v1'
/** Long enough that a connection to a pod that is gone is noticed; shorter than a kubelet waits for a node. */
const SLOW_MS = 1_500
const web = (version: string): string => `
apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
spec:
  replicas: 6
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      topologySpreadConstraints:
        - { maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: DoNotSchedule,
            labelSelector: { matchLabels: { app: web } }, nodeTaintsPolicy: Honor }
      tolerations:
        - { key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 2 }
      containers:
        - name: web
          image: ${IMAGE}
          env: [{ name: VERSION, value: "${version}" }]
          readinessProbe: { httpGet: { path: /, port: 8080 }, periodSeconds: 1 }
---
apiVersion: v1
kind: Service
metadata: { name: web }
spec: { type: NodePort, selector: { app: web }, ports: [{ port: 80, targetPort: 8080 }] }
`

interface Pod {
  readonly name: string
  readonly node: string
  readonly ip: string
  readonly restarts: number
  readonly started: string
}

describe(
  'several nodes on one machine',
  { skip: canRunContainers ? false : 'needs Linux, root and containerd' },
  () => {
    let cluster: TestCluster
    let kubectl: TestCluster['kubectl']

    before(async () => {
      // Ranges of its own: a cluster that somebody left running would be in the way.
      cluster = await startCluster([
        '--nodes=3',
        '--pod-cidr=10.241.0.0/16',
        '--service-cidr=10.113.0.0/16',
      ])
      kubectl = cluster.kubectl
      cluster.navarch(['image', 'build', '--demo', `--tag=${IMAGE}`])
      kubectl('apply -f -', { input: web('one') })
      kubectl('rollout status deployment/web --timeout=60s')
    })
    after(() => cluster?.stop())

    const pods = (): readonly Pod[] =>
      (
        JSON.parse(kubectl('get pods -l app=web -o json').stdout) as {
          items: {
            metadata: { name: string; deletionTimestamp?: string }
            spec: { nodeName: string }
            status: {
              podIP: string
              containerStatuses: {
                restartCount: number
                state: { running?: { startedAt: string } }
              }[]
            }
          }[]
        }
      ).items
        .filter(({ metadata }) => metadata.deletionTimestamp === undefined)
        .map(({ metadata, spec, status }) => ({
          name: metadata.name,
          node: spec.nodeName,
          ip: status.podIP,
          restarts: status.containerStatuses[0]?.restartCount ?? 0,
          started: status.containerStatuses[0]?.state.running?.startedAt ?? '',
        }))
    const onNode = (node: string): Pod => {
      const found = pods().find((pod) => pod.node === node)
      assert.ok(found, `a pod on ${node}`)
      return found
    }
    const nodeField = (node: string, path: string): string =>
      kubectl(['get', 'node', node, '-o', `jsonpath=${path}`]).stdout
    const address = (node: string): string =>
      nodeField(node, '{.status.addresses[?(@.type=="InternalIP")].address}')
    const nodePort = (): string =>
      kubectl('get service web -o jsonpath={.spec.ports[0].nodePort}').stdout
    const isReady = (node: string): boolean =>
      nodeField(node, '{.status.conditions[?(@.type=="Ready")].status}') === 'True'
    const answers = (url: string, times = 12): ReadonlySet<string> =>
      new Set(
        Array.from({ length: times }, () => {
          const ran = spawnSync('curl', ['-sS', '--max-time', '3', url], { encoding: 'utf8' })
          assert.equal(ran.status, 0, `curl ${url}: ${ran.stderr}`)
          return /web-\w+-\w+/.exec(ran.stdout)?.[0] ?? ran.stdout
        }),
      )
    const nodes = ['node-1', 'node-2', 'node-3']
    const statusOf = (node: string): { process?: number; init?: number; running: boolean } => {
      const { nodes: listed } = JSON.parse(
        cluster.navarch(['status', '-o', 'json'], { mayFail: true }).stdout,
      ) as {
        nodes: { name: string; here?: { process?: number; init?: number; running: boolean } }[]
      }
      return listed.find(({ name }) => name === node)?.here ?? { running: false }
    }

    test('each node is Ready, with a range of pods and an address of its own', () => {
      assert.deepEqual(nodes.map(isReady), [true, true, true])
      assert.equal(new Set(nodes.map((node) => nodeField(node, '{.spec.podCIDR}'))).size, 3)
      assert.equal(new Set(nodes.map(address)).size, 3)
      assert.deepEqual(
        pods()
          .map(({ node }) => node)
          .toSorted(),
        [...nodes, ...nodes].toSorted(),
      )
      const status = cluster.navarch(['status']).stdout
      for (const node of nodes) assert.match(status, new RegExp(`${node} [\\d.]+ .*Ready`))
      assert.match(status, /agent of node-3/)
    })

    test('a Service answers from the pods of all nodes: from the host, by node port of every node, and from every pod by name', () => {
      const ip = kubectl('get service web -o jsonpath={.spec.clusterIP}').stdout
      const places = ['127.0.0.1', ...nodes.map(address)].map((host) => `${host}:${nodePort()}`)
      for (const place of [ip, ...places]) {
        const seen = answers(`http://${place}/`, 40)
        const from = new Set(
          pods()
            .filter(({ name }) => seen.has(name))
            .map(({ node }) => node),
        )
        assert.equal(from.size, 3, `${place} is answered by pods of ${[...from].join(', ')}`)
      }
      for (const node of nodes) {
        const { stdout } = kubectl([
          'exec',
          onNode(node).name,
          '--',
          'sh',
          '-c',
          'for i in $(seq 30); do timeout 5 wget -qO- http://web.default.svc.cluster.local/; done',
        ])
        const seen = new Set(stdout.match(/web-\w+-\w+/g))
        assert.ok(seen.size >= 4, `${node}: ${stdout}`)
      }
    })

    test('a pod reaches every pod by the node port of every node, also when that leads back to its own node', () => {
      for (const { name } of nodes.map(onNode)) {
        for (const place of nodes.map(address)) {
          const url = `http://${place}:${nodePort()}/`
          const loop = `for i in $(seq 20); do timeout 5 wget -qO- ${url} >/dev/null || exit 1; done`
          const { code, stderr } = kubectl(['exec', name, '--', 'sh', '-c', loop], {
            mayFail: true,
          })
          assert.equal(code, 0, `${name} to ${url}: ${stderr}`)
        }
      }
    })

    test('a pod reaches the API and each pod of the other nodes, under its own address', () => {
      for (const node of nodes)
        for (const { ip } of pods())
          kubectl([
            'exec',
            onNode(node).name,
            '--',
            'timeout',
            '5',
            'wget',
            '-qO-',
            `http://${ip}:8080/`,
          ])
      const { stdout } = kubectl([
        'exec',
        onNode('node-3').name,
        '--',
        'sh',
        '-c',
        'nc -w 5 kubernetes.default 443 </dev/null && echo reached',
      ])
      assert.match(stdout, /reached/)
    })

    test('exec, logs, cp and port-forward work on pods of every node', async () => {
      for (const node of nodes) {
        const { name } = onNode(node)
        assert.equal(kubectl(['exec', name, '--', 'hostname']).stdout.trim(), name)
        assert.equal(
          kubectl(['exec', '-i', name, '--', 'cat'], { input: 'in and out' }).stdout,
          'in and out',
        )
        assert.equal(kubectl(['exec', name, '--', 'sh', '-c', 'exit 7'], { mayFail: true }).code, 7)
        assert.equal(kubectl(['logs', name], { mayFail: true }).code, 0)
        const forward = cluster.kubectlSpawn(['port-forward', `pod/${name}`, ':8080'])
        try {
          const port = await new Promise<string>((resolve, reject) => {
            forward.stdout.on('data', (chunk: Buffer) => {
              const match = /127\.0\.0\.1:(\d+)/.exec(chunk.toString())
              if (match?.[1] !== undefined) resolve(match[1])
            })
            forward.on('exit', () => reject(new Error('port-forward ended')))
          })
          assert.deepEqual([...answers(`http://127.0.0.1:${port}/`, 2)], [name])
        } finally {
          forward.kill()
        }
      }
    })

    test('a rolling update loses no request, whichever node it comes through, also when one is slow to follow', async () => {
      const ip = kubectl('get service web -o jsonpath={.spec.clusterIP}').stdout
      const urls = [
        `http://${ip}/`,
        ...nodes.map((node) => `http://${address(node)}:${nodePort()}/`),
      ]
      const slow = statusOf('node-3').process
      assert.ok(slow)
      const load = constantRequests(urls)
      kubectl('apply -f -', { input: web('two') })
      const rollout = cluster.kubectlSpawn(['rollout', 'status', 'deployment/web', '--timeout=90s'])
      const ended = new Promise<number | null>((resolve) => rollout.on('exit', resolve))
      let on = true
      const hinder = (async () => {
        // Its service rules are up to this much behind those of the others.
        while (on) {
          process.kill(slow, 'SIGSTOP')
          await sleep(SLOW_MS)
          process.kill(slow, 'SIGCONT')
          await sleep(SLOW_MS)
        }
      })()
      const code = await ended
      on = false
      await hinder
      const { lost, total } = await load.end()
      assert.equal(code, 0)
      assert.deepEqual(lost, [], `${lost.length} of ${total} requests were lost`)
      assert.ok(total > 200, `only ${total} requests were made`)
      for (const node of nodes)
        assert.match(
          nodeField(node, String.raw`{.metadata.annotations.navarch\.dev/proxied-revision}`),
          /^\d+$/,
        )
    })

    test('down leaves all containers running, and the next up finds all nodes again', async () => {
      const old = pods()
      const place = `http://${address('node-2')}:${nodePort()}/`
      cluster.navarch(['down'])
      assert.ok(answers(place).size > 1, 'Services work while nobody controls them')
      cluster.up()
      assert.deepEqual(nodes.map(isReady), [true, true, true])
      assert.deepEqual(
        pods().map(({ name, restarts, started }) => [name, restarts, started]),
        old.map(({ name, restarts, started }) => [name, restarts, started]),
      )
    })

    test('an agent that is killed is started again, and its containers do not notice', async () => {
      const { name, started } = onNode('node-2')
      const agent = statusOf('node-2').process
      assert.ok(agent)
      process.kill(agent, 'SIGKILL')
      await eventually('another agent', () => {
        const now = statusOf('node-2').process
        return now !== undefined && now !== agent
      })
      await eventually(
        'exec works',
        () => kubectl(['exec', name, '--', 'true'], { mayFail: true }).code === 0,
      )
      assert.equal(onNode('node-2').started, started)
    })
    test('fewer nodes are refused with advice; more are added to a cluster that runs', async () => {
      const fewer = cluster.navarch(['up', '--nodes=2'], { mayFail: true })
      assert.equal(fewer.code, 1)
      assert.match(fewer.stderr, /has 3 nodes.*asks for fewer[^]*navarch node remove node-3/)
      cluster.navarch(['up', '--nodes=4'])
      assert.equal(isReady('node-4'), true)
      cluster.navarch(['node', 'remove', 'node-4'])
      assert.equal(kubectl('get node node-4', { mayFail: true }).code, 1)
    })

    test('a node whose plug is pulled becomes NotReady, its pods are replaced elsewhere, and it comes back', async () => {
      const { init } = statusOf('node-2')
      assert.ok(init)
      process.kill(init, 'SIGKILL')
      await eventually('node-2 is NotReady', () => !isReady('node-2'), 90_000)
      await eventually('it is tainted', () =>
        nodeField('node-2', '{.spec.taints[*].key}').includes('node.kubernetes.io/unreachable'),
      )
      await eventually('six pods are ready on the two others', () => {
        const ready = kubectl(
          'get deployment web -o jsonpath={.status.readyReplicas}/{.status.replicas}',
        ).stdout
        return ready === '6/6' && pods().every(({ node }) => node !== 'node-2')
      })
      assert.equal(statusOf('node-2').running, false)
      cluster.navarch(['node', 'start', 'node-2'])
      assert.equal(isReady('node-2'), true)
      await eventually('the taint is gone', () => nodeField('node-2', '{.spec.taints}') === '')
      kubectl('delete pods -l app=web --wait=false')
      await eventually('a pod runs there again', () => pods().some(({ node }) => node === 'node-2'))
      await eventually('no pod of before is left', () => pods().length === 6)
    })

    test('delete leaves nothing of any node on the machine', () => {
      assert.ok(traces(cluster.dataDir).length > 10, 'the test knows what to look for')
      cluster.stop()
      assert.deepEqual(traces(cluster.dataDir), [])
    })
  },
)

/** Whatever on the machine bears the name of a cluster's folders: links, rules, folders, control groups, processes, mounts. */
function traces(dataDir: string): readonly string[] {
  const folders = [
    dataDir,
    ...['node-2', 'node-3', 'node-4'].map((node) => join(dataDir, 'nodes', node)),
  ]
  const names = [
    dataDir,
    ...folders.map((folder) => createHash('sha256').update(folder).digest('hex').slice(0, 8)),
  ]
  const lines = (command: string, ...words: readonly string[]): readonly string[] =>
    spawnSync(command, words, { encoding: 'utf8' }).stdout.split('\n')
  const listed = (folder: string): readonly string[] =>
    existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : []
  const commands = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
      } catch {
        return ''
      }
    })
  return [
    ...lines('ip', '-o', 'link'),
    ...lines('ip', 'route'),
    ...lines('nft', 'list', 'tables'),
    ...listed('/run'),
    ...['memory', 'cpu', 'pids', '.'].flatMap((part) => listed(`/sys/fs/cgroup/${part}`)),
    ...commands,
    ...readFileSync('/proc/self/mountinfo', 'utf8').split('\n'),
  ].filter((line) => names.some((name) => line.includes(name)))
}
