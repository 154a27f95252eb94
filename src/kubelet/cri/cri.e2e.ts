/** The CRI runtime against a real containerd. Needs root and the Debian packages of `checkHost`. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { PassThrough, type Readable } from 'node:stream'
import { realEnv } from '#base'
import { BUSYBOX_IMAGE, type TestHost, startTestHost, whyNot } from '../testing/host.ts'
import type { ContainerConfig, PodSandboxConfig, RuntimeEvent } from '../runtime.ts'
import { LABEL } from '../runtime.ts'

const env = realEnv({ level: 'error' })
const skip = await whyNot(env)
let host: TestHost
let logs: string

before(async () => {
  if (skip) return
  host = await startTestHost(env, 1)
  logs = `${host.folder}/logs`
  await host.runtime.logFiles.makeFolder(logs)
})
after(async () => {
  if (!skip) await host.close()
})

const sandboxConfig = (name: string): PodSandboxConfig => ({
  metadata: { name, uid: `uid-${name}`, namespace: 'e2e', attempt: 0 },
  hostname: name,
  logDirectory: logs,
  dnsConfig: { servers: ['10.96.0.10'], searches: ['svc.cluster.local'], options: ['ndots:5'] },
  portMappings: [],
  labels: { [LABEL.podUid]: `uid-${name}` },
  annotations: {},
  linux: {
    cgroupParent: '',
    sysctls: {},
    securityContext: {
      namespaceOptions: { network: 'POD', pid: 'CONTAINER', ipc: 'POD' },
      supplementalGroups: [],
      supplementalGroupsPolicy: 'Merge',
      privileged: false,
      readonlyRootfs: false,
      seccomp: { profileType: 'RuntimeDefault', localhostRef: '' },
    },
  },
})

const containerConfig = (
  name: string,
  command: readonly string[],
  more: Partial<ContainerConfig> = {},
): ContainerConfig => ({
  metadata: { name, attempt: 0 },
  image: BUSYBOX_IMAGE,
  userSpecifiedImage: BUSYBOX_IMAGE,
  command,
  args: [],
  workingDir: '',
  envs: [{ key: 'GREETING', value: 'hello' }],
  mounts: [],
  devices: [],
  labels: {},
  annotations: {},
  logPath: `${name}.log`,
  stdin: false,
  stdinOnce: false,
  tty: false,
  linux: {
    resources: { cpuShares: 100, memoryLimitInBytes: 64 * 2 ** 20 },
    securityContext: {
      capabilities: { add: [], drop: [] },
      privileged: false,
      namespaceOptions: { network: 'POD', pid: 'CONTAINER', ipc: 'POD' },
      readonlyRootfs: false,
      supplementalGroups: [],
      supplementalGroupsPolicy: 'Merge',
      noNewPrivs: false,
      maskedPaths: [],
      readonlyPaths: [],
      seccomp: { profileType: 'Unconfined', localhostRef: '' },
    },
  },
  ...more,
})

async function startPod(name: string, command: readonly string[], more?: Partial<ContainerConfig>) {
  const { runtime } = host
  const config = sandboxConfig(name)
  const sandbox = await runtime.runPodSandbox(config, '')
  const id = await runtime.createContainer(sandbox, containerConfig(name, command, more), config)
  await runtime.startContainer(id)
  return { sandbox, id }
}

const signal = () => AbortSignal.timeout(20_000)
async function textOf(stream: Readable): Promise<string> {
  let text = ''
  for await (const chunk of stream) text += String(chunk)
  return text
}

test('a container runs, has an address and a log, and its end is told', { skip }, async () => {
  const { runtime } = host
  const stop = new AbortController()
  const seen: RuntimeEvent[] = []
  const { promise: ended, resolve } = Promise.withResolvers<void>()
  const listening = (async () => {
    for await (const event of runtime.events(stop.signal)) {
      seen.push(event)
      if (event.type === 'stopped') resolve()
    }
  })()
  await env.clock.sleep(100)
  const { sandbox, id } = await startPod('one', ['sh', '-c', 'echo $GREETING; sleep 0.3; exit 7'])
  const running = await runtime.containerStatus(id)
  assert.equal(running?.state, 'running')
  assert.match(running.imageRef, /sha256:|busybox/)
  const [ip] = (await runtime.podSandboxStatus(sandbox))?.ips ?? []
  assert.match(ip ?? '', /^10\.191\./)
  await ended
  const status = await runtime.containerStatus(id)
  assert.deepEqual([status?.state, status?.exitCode, status?.reason], ['exited', 7, 'Error'])
  assert.ok(seen.some((event) => event.type === 'stopped' && event.id === id))
  assert.match(await env.fs.readText(`${logs}/one.log`), / stdout F hello\n$/)
  stop.abort()
  await listening
})

test(
  'exec gives output and exit code, takes input to its end, and has a terminal',
  { skip },
  async () => {
    const { runtime } = host
    const { id } = await startPod('two', ['sleep', '300'])
    const sync = await runtime.execSync(id, ['sh', '-c', 'echo out; echo err >&2; exit 3'], 5)
    assert.deepEqual(
      [sync.exitCode, Buffer.from(sync.stdout).toString(), Buffer.from(sync.stderr).toString()],
      [3, 'out\n', 'err\n'],
    )
    await assert.rejects(runtime.execSync(id, ['sleep', '10'], 1), { code: 'deadline' })

    const [stdout, stderr] = [new PassThrough(), new PassThrough()]
    const both = [textOf(stdout), textOf(stderr)]
    const result = await runtime.exec(
      id,
      { command: ['sh', '-c', 'echo a; echo b >&2; exit 5'], tty: false },
      { stdout, stderr },
      signal(),
    )
    stdout.end()
    stderr.end()
    assert.equal(result.exitCode, 5)
    assert.deepEqual(await Promise.all(both), ['a\n', 'b\n'])

    // The process ends because its input does.
    const stdin = new PassThrough()
    const echo = new PassThrough()
    const echoed = textOf(echo)
    const big = 'x'.repeat(1_000_000)
    stdin.end(big)
    const cat = await runtime.exec(
      id,
      { command: ['sh', '-c', 'cat; echo done'], tty: false },
      { stdin, stdout: echo },
      signal(),
    )
    echo.end()
    assert.equal(cat.exitCode, 0)
    assert.equal(await echoed, `${big}done\n`)

    const screen = new PassThrough()
    const shown = textOf(screen)
    async function* sizes() {
      yield { width: 123, height: 45 }
    }
    await runtime.exec(
      id,
      { command: ['sh', '-c', 'sleep 0.3; stty size'], tty: true },
      { stdout: screen, resize: sizes() },
      signal(),
    )
    screen.end()
    assert.match(await shown, /45 123/)
  },
)

test('attach shows what the container writes', { skip }, async () => {
  const { runtime } = host
  const { id } = await startPod('three', ['sh', '-c', 'read line; echo got $line; sleep 0.2'], {
    stdin: true,
    stdinOnce: true,
  })
  const stdin = new PassThrough()
  const stdout = new PassThrough()
  const text = textOf(stdout)
  const attached = runtime.attach(id, { tty: false }, { stdin, stdout }, signal())
  stdin.write('word\n')
  await attached
  stdout.end()
  assert.equal(await text, 'got word\n')
})

test('a port on localhost only is forwarded, and a silent one refused', { skip }, async () => {
  const { runtime } = host
  const { sandbox } = await startPod('four', [
    'sh',
    '-c',
    'mkdir /w; echo pong > /w/index.html; exec httpd -f -p 127.0.0.1:8080 -h /w',
  ])
  await env.clock.sleep(300)
  const socket = await runtime.portForward(sandbox, 8080, signal())
  socket.write('GET / HTTP/1.0\r\n\r\n')
  assert.match(await textOf(socket), /200 OK[^]*pong\n$/)
  await assert.rejects(runtime.portForward(sandbox, 9999, signal()), /refused/)
})

test(
  'what is gone is gone: status is undefined, stop and removal do nothing',
  { skip },
  async () => {
    const { runtime } = host
    const { sandbox, id } = await startPod('five', ['sleep', '300'])
    await runtime.stopContainer(id, 1)
    assert.equal((await runtime.containerStatus(id))?.exitCode, 137)
    await runtime.stopPodSandbox(sandbox)
    await runtime.removePodSandbox(sandbox)
    assert.equal(await runtime.containerStatus(id), undefined)
    assert.equal(await runtime.podSandboxStatus(sandbox), undefined)
    await runtime.stopContainer(id, 1)
    await runtime.removeContainer(id)
    await runtime.removePodSandbox(sandbox)
  },
)
