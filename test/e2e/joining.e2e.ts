/** A control plane, and two machines that join it over TLS with a token: each in namespaces that the test makes. */
import assert from 'node:assert/strict'
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { freePort } from '../support/free-port.ts'
import { canRunContainers, eventually, type Ran } from '../support/navarch.ts'
import { kubectlPath, root } from '../support/tools.ts'

const IMAGE = 'navarch.local/demo:v1'
const web = `
apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
spec:
  replicas: 4
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      topologySpreadConstraints:
        - { maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway,
            labelSelector: { matchLabels: { app: web } } }
      containers:
        - name: web
          image: ${IMAGE}
          readinessProbe: { httpGet: { path: /, port: 8080 }, periodSeconds: 1 }
---
apiVersion: v1
kind: Service
metadata: { name: web }
spec: { type: NodePort, selector: { app: web }, ports: [{ port: 80, targetPort: 8080 }] }
`

interface Machine {
  readonly name: string
  readonly address: string
  readonly dataDir: string
  readonly holder: ChildProcess
  /** Its first process, as the test sees it. */
  readonly pid: number
}

describe(
  'machines join a control plane',
  { skip: canRunContainers ? false : 'needs Linux, root and containerd' },
  () => {
    const base = mkdtempSync(join(tmpdir(), 'navarch-join-'))
    const net = `10.87.${process.pid % 250}`
    const bridge = `nvj${process.pid}`
    const main = join(root, 'src', 'cli', 'main.ts')
    const env = { ...process.env, KUBECONFIG: join(base, 'kubeconfig'), NODE_EXTRA_CA_CERTS: '' }
    const children: ChildProcess[] = []
    const machines: Machine[] = []
    let url = ''
    let joining: readonly string[] = []

    const run = (
      command: string,
      words: readonly string[],
      options: { input?: string; mayFail?: boolean } = {},
    ): Ran => {
      const { status, stdout, stderr } = spawnSync(command, words, {
        env,
        encoding: 'utf8',
        timeout: 90_000,
        ...(options.input === undefined ? {} : { input: options.input }),
      })
      const ran = { code: status ?? -1, stdout, stderr }
      assert.ok(
        ran.code === 0 || options.mayFail === true,
        `${command} ${words.join(' ')} gave ${ran.code}: ${ran.stderr}${ran.stdout}`,
      )
      return ran
    }
    const sh = (script: string): string => run('sh', ['-ec', script]).stdout
    // The user's own kubeconfig is another file: `delete` edits that.
    const admin = `--kubeconfig=${join(base, 'server', 'kubeconfig')}`
    const kubectl = (words: string | readonly string[], options = {}): Ran =>
      run(
        kubectlPath(),
        [admin, ...(typeof words === 'string' ? words.split(' ') : words)],
        options,
      )
    const end = (pid: number): void => {
      try {
        process.kill(pid, 'SIGKILL')
      } catch {
        // It has ended already.
      }
    }
    const navarch = (...words: readonly string[]): Ran => run(process.execPath, [main, ...words])
    /** In the background, with what it says in a file. */
    const start = (name: string, command: string, words: readonly string[]): ChildProcess => {
      const log = openSync(join(base, `${name}.log`), 'a')
      const child = spawn(command, words, { env, stdio: ['ignore', log, log] })
      children.push(child)
      return child
    }
    const log = (name: string): string => readFileSync(join(base, `${name}.log`), 'utf8')
    const inside = ({ pid }: Machine, ...words: readonly string[]): readonly string[] => [
      ...`--target ${pid} --net --mount --pid --uts --`.split(' '),
      ...words,
    ]

    const boot = async (n: number): Promise<Machine> => {
      const name = `machine-${n}`
      const dataDir = join(base, name)
      mkdirSync(dataDir)
      const holder = start(name, 'unshare', [
        ...'--net --mount --pid --uts --fork --kill-child --mount-proc sh -c'.split(' '),
        `echo ${name} > /proc/sys/kernel/hostname; sleep infinity & while :; do wait; done`,
      ])
      const pid = await eventually('its first process', () => childOf(holder))
      const address = `${net}.${n + 1}`
      sh(`
        ip link add ${bridge}-${n} type veth peer name eth0 netns ${pid}
        ip link set ${bridge}-${n} master ${bridge} up
        nsenter --target ${pid} --net sh -ec 'ip link set lo up; ip address add ${address}/24 dev eth0
          ip link set eth0 up; ip route add default via ${net}.1'`)
      const machine = { name, address, dataDir, holder, pid }
      machines.push(machine)
      return machine
    }
    const childOf = (parent: ChildProcess | undefined): number | undefined =>
      Number(run('pgrep', ['-P', String(parent?.pid)], { mayFail: true }).stdout) || undefined
    const agents = new Map<string, ChildProcess>()
    const agent = (machine: Machine, ...flags: readonly string[]): ChildProcess => {
      const child = start(
        `${machine.name}-agent`,
        'nsenter',
        inside(
          machine,
          process.execPath,
          main,
          'agent',
          `--data-dir=${machine.dataDir}`,
          `--server=${url}`,
          '--runtime=containerd',
          ...flags,
        ),
      )
      agents.set(machine.name, child)
      return child
    }
    const isReady = (name: string): boolean =>
      kubectl(
        ['get', 'node', name, '-o', 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'],
        { mayFail: true },
      ).stdout === 'True'
    const pods = (): readonly { name: string; node: string; started: string }[] =>
      kubectl([
        'get',
        'pods',
        '-l',
        'app=web',
        '-o',
        'jsonpath={range .items[*]}{.metadata.name} {.spec.nodeName} {.status.containerStatuses[0].state.running.startedAt}{"\\n"}{end}',
      ])
        .stdout.trim()
        .split('\n')
        .map((line) => {
          const [name = '', node = '', started = ''] = line.split(' ')
          return { name, node, started }
        })
    const onMachine = (node: string): string => {
      const found = pods().find((pod) => pod.node === node)
      assert.ok(found, `a pod on ${node}`)
      return found.name
    }

    before(async () => {
      sh(`
        ip link add ${bridge} type bridge
        ip address add ${net}.1/24 dev ${bridge}
        ip link set ${bridge} up`)
      const port = await freePort()
      url = `https://${net}.1:${port}`
      start('server', process.execPath, [
        main,
        'server',
        `--data-dir=${join(base, 'server')}`,
        `--port=${port}`,
        `--advertise-address=${net}.1`,
      ])
      await eventually('the control plane is ready', () => log('server').includes('ready at'))
      const told = navarch('token', 'create', `--data-dir=${join(base, 'server')}`).stdout
      joining =
        told.match(/--(?:token|ca-hash)[= ]\S+/g)?.map((flag) => flag.replace(' ', '=')) ?? []
      assert.equal(joining.length, 2, told)
      for (const n of [1, 2]) agent(await boot(n), ...joining)
      await eventually('both nodes are Ready', () => isReady('machine-1') && isReady('machine-2'))
      for (const { dataDir } of machines)
        navarch('image', 'build', '--demo', `--tag=${IMAGE}`, `--data-dir=${dataDir}`)
      kubectl('apply -f -', { input: web })
      kubectl('rollout status deployment/web --timeout=60s')
    })
    after(() => {
      for (const { holder, pid } of machines) {
        end(pid)
        holder.kill('SIGKILL')
      }
      for (const child of children) child.kill('SIGKILL')
      for (const { dataDir } of machines)
        run(process.execPath, [main, 'delete', '--yes', `--data-dir=${dataDir}`], { mayFail: true })
      run(process.execPath, [main, 'delete', '--yes', `--data-dir=${join(base, 'server')}`], {
        mayFail: true,
      })
      run('ip', ['link', 'delete', bridge], { mayFail: true })
      rmSync(base, { recursive: true, force: true })
    })

    test('a wrong token and another authority are refused in words', async () => {
      const stranger = await boot(3)
      const refused = async (...flags: readonly string[]): Promise<string> => {
        const child = agent(stranger, ...flags)
        await new Promise((resolve) => child.on('exit', resolve))
        return log('machine-3-agent')
      }
      const [token = '', hash = ''] = joining
      assert.match(
        await refused(token, `--ca-hash=sha256:${'0'.repeat(64)}`),
        /not the one that was meant/,
      )
      assert.match(
        await refused('--token=aaaaaa.0123456789abcdef', hash),
        /does not accept the token/,
      )
      assert.match(await refused(hash), /joins for the first time needs a token/)
      end(stranger.pid)
    })

    test('a pod reaches pods of the other machine through the Service, by its name in DNS', () => {
      for (const { name } of machines.slice(0, 2)) {
        const { stdout } = kubectl([
          'exec',
          onMachine(name),
          '--',
          'sh',
          '-c',
          'for i in $(seq 30); do timeout 5 wget -qO- http://web.default.svc.cluster.local/; done',
        ])
        const seen = new Set(stdout.match(/web-\w+-\w+/g))
        assert.equal(seen.size, 4, `${name}: ${stdout}`)
      }
      const nodePort = kubectl('get service web -o jsonpath={.spec.ports[0].nodePort}').stdout
      for (const { address } of machines.slice(0, 2))
        assert.match(sh(`curl -sS --max-time 5 http://${address}:${nodePort}/`), /web-/)
    })

    test('exec, logs and port-forward go to the machine that has the pod', async () => {
      for (const { name } of machines.slice(0, 2)) {
        const pod = onMachine(name)
        assert.equal(kubectl(['exec', pod, '--', 'hostname']).stdout.trim(), pod)
        assert.equal(kubectl(['exec', '-i', pod, '--', 'cat'], { input: 'in' }).stdout, 'in')
        kubectl(['logs', pod])
        const forward = spawn(kubectlPath(), [admin, 'port-forward', `pod/${pod}`, ':8080'], {
          env,
        })
        try {
          const port = await new Promise<string>((resolve, reject) => {
            forward.stdout.on('data', (chunk: Buffer) => {
              const match = /127\.0\.0\.1:(\d+)/.exec(chunk.toString())
              if (match?.[1] !== undefined) resolve(match[1])
            })
            forward.on('exit', () => reject(new Error('port-forward ended')))
          })
          assert.match(sh(`curl -sS --max-time 5 http://127.0.0.1:${port}/`), new RegExp(pod))
        } finally {
          forward.kill()
        }
      }
    })

    test('an agent that was killed starts again without a token, and its containers did not notice', async () => {
      const [first] = machines
      assert.ok(first)
      const old = pods()
      // nsenter waits outside; the agent is its child.
      const killed = childOf(agents.get(first.name))
      assert.ok(killed)
      end(killed)
      agent(first)
      const pod = onMachine(first.name)
      await eventually(
        'exec works again',
        () => kubectl(['exec', pod, '--', 'true'], { mayFail: true }).code === 0,
      )
      assert.deepEqual(pods(), old)
    })

    test('delete takes a machine out of the cluster: its Node, its routes, its containers; its pods are replaced', async () => {
      const [first, second] = machines
      assert.ok(first && second)
      const routes = (machine: Machine): string =>
        run('nsenter', inside(machine, 'ip', 'route', 'show', 'proto', '78')).stdout
      assert.match(routes(first), /10\.244\./)
      assert.match(routes(second), /10\.244\./)
      const { stdout } = run(
        'nsenter',
        inside(second, process.execPath, main, 'delete', '--yes', `--data-dir=${second.dataDir}`),
      )
      assert.match(stdout, /Node machine-2 has left its cluster/)
      assert.equal(routes(second), '')
      assert.match(kubectl('get node machine-2', { mayFail: true }).stderr, /not found/)
      await eventually('its pods are replaced on the other', () => {
        const ready = kubectl('get deployment web -o jsonpath={.status.readyReplicas}').stdout
        return ready === '4' && pods().every(({ node }) => node === 'machine-1')
      })
      await eventually('the other forgets the way to it', () => routes(first) === '')
    })
  },
)
