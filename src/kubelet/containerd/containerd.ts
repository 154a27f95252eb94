/**
 * A containerd of our own: private root, state, socket and configuration, so that one which the system has is never
 * touched. It is started detached and outlives this program; the next start finds it again.
 */
import type { ChildProcess, Env } from '#base'
import { configFingerprint, containerdConfig, registryHosts } from './config.ts'
import {
  chooseRuntimes,
  chooseSnapshotter,
  findCniPlugins,
  findTool,
  mayLowerOomScore,
  readCgroupLayout,
  toolPath,
} from './host.ts'
import { type Architecture, imageStore, type Images, PAUSE_IMAGE, pauseImage } from './images.ts'
import { type ContainerdProbe, probeContainerd } from './probe.ts'
import { removeRemains } from './remains.ts'

/** Where a containerd of this program's own lives. */
export interface ContainerdOptions {
  readonly env: Pick<Env, 'clock' | 'fs' | 'process' | 'log'>
  /** Holds images and snapshots in `containerd/`; kept over reboots. */
  readonly dataDir: string
  /** Holds socket, pid file and state in `containerd/`; best on a tmpfs. Short: a unix socket's path has at most 107 bytes. */
  readonly runDir: string
  /** Where the pod network's configuration is, or will be, written. */
  readonly cniConfDir: string
  /** Default: `containerd.log` in the data folder. */
  readonly logFile?: string
  /** Mirrors by registry, asked in order before it: `{ 'docker.io': ['http://127.0.0.1:5000'] }`. `*` is any registry. */
  readonly registryMirrors?: Readonly<Record<string, readonly string[]>>
}

/** A containerd that runs. */
export interface Containerd {
  readonly socket: string
  readonly version: string
  /** `crun`, `runc`: the names that a RuntimeClass may use; the first is the default. */
  readonly runtimes: readonly string[]
  readonly snapshotter: 'overlayfs' | 'native'
  readonly architecture: Architecture
  readonly images: Images
  readonly pid: () => number
  /** Whether it was found running, with all its containers. */
  readonly adopted: boolean
  /** Lets go of it: containerd and containers keep running for the next start. */
  release(): void
  /** Ends containerd; containers keep running, and the next start finds them. */
  stop(): Promise<void>
  /** Ends containerd and every container, and removes images, state and mounts. */
  destroy(): Promise<void>
}

const START_TIMEOUT_MS = 30_000
const STOP_TIMEOUT_MS = 10_000
const POLL_MS = 10
const CALL_TIMEOUT_MS = 2_000
/** Waits between restarts of a containerd that keeps dying. */
const RESTART_BACKOFF_MS = [0, 100, 1_000, 10_000] as const
/** Alive for this long, it counts as healthy again. */
const STEADY_MS = 60_000
const SOCKET_PATH_LIMIT = 107

interface Running {
  readonly pid: number
  readonly child: ChildProcess | undefined
}

/** Starts containerd, or adopts the one that runs, and keeps it running. */
export async function startContainerd(options: ContainerdOptions): Promise<Containerd> {
  const { env } = options
  const plan = await prepare(options)
  const probe = probeContainerd(plan.socket)
  const stopping = new AbortController()
  let running: Running
  let adopted = false
  let version: string
  try {
    const found = await findRunning(env, plan)
    if (found !== undefined && found.fingerprint === plan.fingerprint) {
      running = { pid: found.pid, child: undefined }
      adopted = true
    } else {
      if (found !== undefined) await end(env, { pid: found.pid, child: undefined })
      running = await launch(env, plan)
    }
    version = await waitReady(env, plan, probe, running)
  } catch (error) {
    probe.close()
    throw error
  }
  env.log.info('containerd is ready', {
    pid: running.pid,
    version,
    adopted,
    runtime: plan.runtimes[0],
  })
  const images = imageStore({
    env,
    ctr: plan.ctr,
    socket: plan.socket,
    snapshotter: plan.snapshotter,
    probe,
  })
  await images.put(pauseImage(plan.architecture))

  const supervise = async (): Promise<void> => {
    for (let failures = 0; ;) {
      const since = env.clock.monotonic()
      await probe.gone(stopping.signal)
      if (stopping.signal.aborted) return
      if (await isAlive(env, plan, running.pid)) {
        // Only the connection ended. Ask again before the next watch, so that this cannot spin.
        await env.clock.sleep(RESTART_BACKOFF_MS[1], stopping.signal)
        continue
      }
      failures = env.clock.monotonic() - since > STEADY_MS ? 0 : failures + 1
      const backoffMs = RESTART_BACKOFF_MS[Math.min(failures, RESTART_BACKOFF_MS.length - 1)] ?? 0
      env.log.warn('containerd ended; starting it again', { pid: running.pid, backoffMs })
      await env.clock.sleep(backoffMs, stopping.signal)
      try {
        running = await launch(env, plan)
        await waitReady(env, plan, probe, running)
      } catch (error) {
        env.log.error('cannot start containerd again', { error })
      }
    }
  }
  const supervision = supervise().catch((error: unknown) => {
    if (!stopping.signal.aborted) env.log.error('containerd is no longer watched', { error })
  })

  const release = async (): Promise<void> => {
    stopping.abort()
    await supervision
    probe.close()
  }
  const stop = async (): Promise<void> => {
    await release()
    await end(env, running)
    await env.fs.remove(plan.pidFile)
  }
  return {
    socket: plan.socket,
    version,
    runtimes: plan.runtimes.map(({ name }) => name),
    snapshotter: plan.snapshotter,
    architecture: plan.architecture,
    images,
    pid: () => running.pid,
    adopted,
    release: () => void release(),
    stop,
    async destroy() {
      await stop()
      await destroyContainerd(options)
    },
  }
}

/** The images of a containerd of these folders that another process looks after. */
export async function openImages({
  env,
  dataDir,
  runDir,
}: Pick<ContainerdOptions, 'env' | 'dataDir' | 'runDir'>): Promise<Images> {
  const { socket } = folders({ dataDir, runDir })
  const ctr = await required(env, 'ctr', 'containerd')
  return imageStore({ env, ctr, socket, probe: probeContainerd(socket) })
}

/** Removes what a containerd of these folders left: containers, shims, mounts and files. It may be running or not. */
export async function destroyContainerd({
  env,
  dataDir,
  runDir,
}: Pick<ContainerdOptions, 'env' | 'dataDir' | 'runDir'>): Promise<void> {
  const places = folders({ dataDir, runDir })
  const found = await findRunning(env, places)
  if (found !== undefined) await end(env, { pid: found.pid, child: undefined })
  await removeRemains(env, {
    socket: places.socket,
    state: places.state,
    roots: [places.state, places.root],
  })
  for (const folder of [places.folder, places.root, places.certsDir]) await env.fs.remove(folder)
}

interface Places {
  readonly folder: string
  readonly socket: string
  readonly state: string
  readonly pidFile: string
  readonly configFile: string
  readonly root: string
  readonly certsDir: string
}

function folders({ dataDir, runDir }: { dataDir: string; runDir: string }): Places {
  const folder = `${runDir}/containerd`
  return {
    folder,
    socket: `${folder}/containerd.sock`,
    state: `${folder}/state`,
    pidFile: `${folder}/containerd.pid`,
    configFile: `${folder}/config.toml`,
    root: `${dataDir}/containerd`,
    certsDir: `${dataDir}/certs.d`,
  }
}

interface Plan extends Places {
  readonly containerd: string
  readonly ctr: string
  readonly path: string
  readonly config: string
  readonly fingerprint: string
  readonly runtimes: readonly { readonly name: string; readonly path: string }[]
  readonly snapshotter: 'overlayfs' | 'native'
  readonly architecture: Architecture
  readonly logFile: string
}

async function prepare(options: ContainerdOptions): Promise<Plan> {
  const { env, dataDir, runDir } = options
  const places = folders({ dataDir, runDir })
  if (places.socket.length > SOCKET_PATH_LIMIT) {
    throw new Error(
      `Cannot start containerd: the path of its socket "${places.socket}" is longer than ${SOCKET_PATH_LIMIT} bytes; choose a shorter folder`,
    )
  }
  const [containerd, ctr, crun, runc, cniBinDir, layout, status, mountinfo] = await Promise.all([
    required(env, 'containerd', 'containerd'),
    required(env, 'ctr', 'containerd'),
    findTool(env, 'crun'),
    findTool(env, 'runc'),
    findCniPlugins(env),
    readCgroupLayout(env),
    env.fs.readText('/proc/self/status'),
    env.fs.readText('/proc/self/mountinfo'),
  ])
  const runtimes = chooseRuntimes({ layout, crun, runc })
  if (runtimes.length === 0)
    throw new Error('Cannot start containerd: install runc (apt-get install -y runc)')
  if (cniBinDir === undefined) {
    throw new Error(
      'Cannot start containerd: the CNI plugins are missing (apt-get install -y containernetworking-plugins)',
    )
  }
  const snapshotter = chooseSnapshotter(mountinfo, dataDir)
  if (snapshotter === 'native') {
    env.log.warn('the data folder cannot hold overlays: images take more space and time', {
      dataDir,
    })
  }
  const config = containerdConfig({
    ...places,
    runtimes,
    snapshotter,
    cniBinDir,
    cniConfDir: options.cniConfDir,
    sandboxImage: PAUSE_IMAGE,
    restrictOomScoreAdj: !mayLowerOomScore(status),
  })
  await env.fs.makeFolder(places.root)
  await env.fs.makeFolder(places.folder)
  await env.fs.makeFolder(options.cniConfDir)
  await env.fs.remove(places.certsDir)
  await env.fs.makeFolder(places.certsDir)
  for (const [registry, hosts] of registryHosts(options.registryMirrors ?? {})) {
    await env.fs.makeFolder(`${places.certsDir}/${registry}`)
    await env.fs.write(`${places.certsDir}/${registry}/hosts.toml`, hosts)
  }
  const path = toolPath(env.process)
  const [programVersion, machine] = await Promise.all([
    env.process.run([containerd, '--version'], { timeoutMs: STOP_TIMEOUT_MS }),
    env.process.run(['uname', '-m'], { env: { PATH: path } }),
  ])
  return {
    ...places,
    containerd,
    ctr,
    path,
    config,
    fingerprint: configFingerprint(config, programVersion.stdout),
    runtimes,
    snapshotter,
    architecture: machine.stdout.trim() === 'aarch64' ? 'arm64' : 'amd64',
    logFile: options.logFile ?? `${dataDir}/containerd.log`,
  }
}

async function required(
  env: Pick<Env, 'fs' | 'process'>,
  name: string,
  debianPackage: string,
): Promise<string> {
  const path = await findTool(env, name)
  if (path !== undefined) return path
  throw new Error(
    `Cannot start containerd: ${name} is not installed (apt-get install -y ${debianPackage})`,
  )
}

async function launch(env: ContainerdOptions['env'], plan: Plan): Promise<Running> {
  await env.fs.write(plan.configFile, plan.config, { atomic: true })
  // Left by one that was killed; a connection must not find it before the new one listens.
  await env.fs.remove(plan.socket)
  const child = env.process.spawn([plan.containerd, '--config', plan.configFile], {
    detached: true,
    logFile: plan.logFile,
    env: { PATH: plan.path },
  })
  await env.fs.write(plan.pidFile, `${child.pid} ${plan.fingerprint}\n`, { atomic: true })
  return { pid: child.pid, child }
}

async function waitReady(
  env: ContainerdOptions['env'],
  plan: Plan,
  probe: ContainerdProbe,
  running: Running,
): Promise<string> {
  const deadline = env.clock.monotonic() + START_TIMEOUT_MS
  let exited = false
  void running.child?.exited.then(() => (exited = true))
  for (;;) {
    try {
      return await probe.version(CALL_TIMEOUT_MS)
    } catch (error) {
      if (exited || env.clock.monotonic() > deadline) {
        const reason = exited
          ? 'it ended at once'
          : `it gave no answer in ${START_TIMEOUT_MS / 1000} s`
        throw new Error(
          `Cannot start containerd: ${reason}. ${await lastWords(env, plan.logFile)}`,
          {
            cause: error,
          },
        )
      }
      await env.clock.sleep(POLL_MS)
    }
  }
}

async function lastWords({ fs }: Pick<Env, 'fs'>, logFile: string): Promise<string> {
  const log = await fs.readText(logFile).catch(() => '')
  const lines = log.trim().split('\n')
  const telling = lines.findLast((line) => /level=(?:fatal|error)|^containerd: /.test(line))
  return `Its log ${logFile} says: ${telling ?? lines.at(-1) ?? 'nothing'}`
}

/** The containerd that was started with our configuration file, if it still runs. */
async function findRunning(
  env: Pick<Env, 'fs'>,
  places: Places,
): Promise<{ pid: number; fingerprint: string } | undefined> {
  const text = await env.fs.readText(places.pidFile).catch(() => '')
  const [pid, fingerprint = ''] = text.trim().split(' ')
  const number = Number(pid)
  if (!Number.isInteger(number) || number <= 1) return undefined
  return (await isAlive(env, places, number)) ? { pid: number, fingerprint } : undefined
}

/** Process numbers are reused: only one that has our configuration on its command line is ours. */
async function isAlive(
  { fs }: Pick<Env, 'fs'>,
  { configFile }: Places,
  pid: number,
): Promise<boolean> {
  const command = await fs.readText(`/proc/${pid}/cmdline`).catch(() => '')
  return command.split('\0').includes(configFile)
}

async function end(env: ContainerdOptions['env'], { pid, child }: Running): Promise<void> {
  const send = (signal: 'TERM' | 'KILL'): Promise<unknown> =>
    env.process.run(['sh', '-c', `kill -${signal} ${pid}`])
  let exited = false
  void child?.exited.then(() => (exited = true))
  // An adopted one is not our child, so that its end is seen in /proc only.
  const gone = async (): Promise<boolean> =>
    exited || !(await env.fs.readText(`/proc/${pid}/cmdline`).catch(() => ''))
  await send('TERM')
  const deadline = env.clock.monotonic() + STOP_TIMEOUT_MS
  for (let killed = false; !(await gone());) {
    if (!killed && env.clock.monotonic() > deadline) {
      killed = true
      await send('KILL')
    }
    await env.clock.sleep(POLL_MS)
  }
}
