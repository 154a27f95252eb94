/** A real cluster for end-to-end tests: the program itself, started as a user would, in folders of its own. */
import { spawn, spawnSync, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { kubectlPath, root } from './tools.ts'
import { freePort } from './free-port.ts'

export interface Ran {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

interface RunOptions {
  readonly input?: string
  readonly mayFail?: boolean
  readonly timeoutMs?: number
  readonly env?: Readonly<Record<string, string>>
}

export interface TestCluster {
  readonly dataDir: string
  readonly kubeconfig: string
  /** Runs kubectl and gives what it printed; throws with its error unless told that it may fail. */
  kubectl(
    words: string | readonly string[],
    options?: RunOptions & {
      /** Another kubectl than the current one. */
      program?: string
    },
  ): Ran
  /** kubectl in the background; the caller ends it. */
  kubectlSpawn(words: readonly string[]): ChildProcessWithoutNullStreams
  navarch(words: readonly string[], options?: { mayFail?: boolean }): Ran
  up(): void
  /** What a reboot does to it: all processes are gone, run folders and network too; the data stays. */
  reboot(): void
  /** Ends the control plane's process with SIGKILL. */
  kill9(): void
  stop(): void
}

export const canRunContainers =
  process.platform === 'linux' &&
  process.getuid?.() === 0 &&
  spawnSync('containerd', ['--version']).status === 0

/** Port ranges and folders are taken anew, so that test clusters and a user's own do not meet. */
export async function startCluster(flags: readonly string[] = []): Promise<TestCluster> {
  const base = mkdtempSync(join(tmpdir(), 'navarch-e2e-'))
  const dataDir = join(base, 'data')
  const port = await freePort()
  const env = {
    ...process.env,
    KUBECONFIG: join(base, 'kubeconfig'),
    NAVARCH_DATA_DIR: dataDir,
    NODE_EXTRA_CA_CERTS: '',
  }
  const main = join(root, 'src', 'cli', 'main.ts')
  const execute = (command: string, words: readonly string[], options: RunOptions = {}): Ran => {
    const result = spawnSync(command, words, {
      env: { ...env, ...options.env },
      encoding: 'utf8',
      timeout: options.timeoutMs ?? 120_000,
      maxBuffer: 2 ** 28,
      ...(options.input === undefined ? {} : { input: options.input }),
    })
    const ran = {
      code: result.status ?? -1,
      stdout: result.stdout ?? '',
      stderr: result.stderr ?? '',
    }
    if (ran.code !== 0 && options.mayFail !== true) {
      throw new Error(
        `${words.join(' ')} gave ${ran.code}${result.error ? ` (${result.error.message})` : ''}: ${ran.stderr}${ran.stdout}`,
      )
    }
    return ran
  }
  const navarch = (words: readonly string[], options: { mayFail?: boolean } = {}): Ran =>
    execute(process.execPath, [main, ...words], options)
  const cluster: TestCluster = {
    dataDir,
    kubeconfig: env.KUBECONFIG,
    kubectl: (words, options) =>
      execute(
        options?.program ?? kubectlPath(),
        typeof words === 'string' ? words.split(' ') : words,
        options,
      ),
    kubectlSpawn: (words) => spawn(kubectlPath(), words, { env }),
    navarch,
    up: () => void navarch(['up', `--port=${port}`, '--node-name=node-1', ...flags]),
    reboot: () => {
      const { pid } = JSON.parse(navarch(['status', '-o', 'json']).stdout) as { pid: number }
      process.kill(pid, 'SIGKILL')
      reboot(dataDir)
    },
    kill9: () => {
      const { pid } = JSON.parse(navarch(['status', '-o', 'json']).stdout) as { pid: number }
      process.kill(pid, 'SIGKILL')
    },
    stop: () => {
      navarch(['delete', '--yes'], { mayFail: true })
      rmSync(base, { recursive: true, force: true })
    },
  }
  try {
    cluster.up()
  } catch (error) {
    const log = (() => {
      try {
        return readFileSync(join(dataDir, 'log', 'navarch.log'), 'utf8')
          .split('\n')
          .slice(-40)
          .join('\n')
      } catch {
        return ''
      }
    })()
    cluster.stop()
    throw new Error(`${error instanceof Error ? error.message : String(error)}\n${log}`, {
      cause: error,
    })
  }
  return cluster
}

/** Looks again until `check` gives something, for as long as it may take; the last error says what was missing. */
export async function eventually<T>(
  what: string,
  check: () => T | undefined | false | Promise<T | undefined | false>,
  withinMs = 60_000,
): Promise<T> {
  const deadline = performance.now() + withinMs
  let last: unknown
  while (performance.now() < deadline) {
    try {
      const found = await check()
      if (found !== undefined && found !== false) return found
      last = undefined
    } catch (error) {
      last = error
    }
    await sleep(150)
  }
  throw new Error(
    `Not within ${withinMs} ms: ${what}${last instanceof Error ? ` (${last.message})` : ''}`,
  )
}

const lines = (line: string): readonly string[] =>
  spawnSync('sh', ['-c', line], { encoding: 'utf8' })
    .stdout.split('\n')
    .filter((each) => each !== '')

/** Takes away what a reboot takes away, of the cluster in this folder alone. */
function reboot(dataDir: string): void {
  const [config = ''] = lines(`grep -l '${dataDir}' /run/navarch-*/containerd/config.toml`)
  const runDir = config.replace('/containerd/config.toml', '')
  const id = runDir.replace('/run/navarch-', '')
  if (!runDir.startsWith('/run/navarch-')) throw new Error(`No run folder of ${dataDir}`)
  const own = lines(`pgrep -f '${runDir}/'`).map(Number)
  const shims = own.flatMap((parent) => [parent, ...lines(`pgrep -P ${parent}`).map(Number)])
  const inodes = new Set(
    shims
      .flatMap((each) => lines(`readlink /proc/${each}/ns/net`))
      .map((text) => text.replace(/\D/g, '')),
  )
  const host = lines('readlink /proc/self/ns/net')[0]?.replace(/\D/g, '') ?? ''
  inodes.delete(host)
  const networks = lines('ls /run/netns 2>/dev/null').filter((name) =>
    inodes.has(lines(`stat -Lc %i /run/netns/${name}`)[0] ?? ''),
  )
  for (const each of shims.toReversed())
    try {
      process.kill(each, 'SIGKILL')
    } catch {
      // It went with another one.
    }
  for (const name of networks) lines(`ip netns delete ${name}`)
  for (const mount of lines(
    `grep -E ' (${runDir}|${dataDir})/' /proc/mounts | cut -d' ' -f2 | sort -r`,
  ))
    lines(`umount -l '${mount}'`)
  lines(
    `ip link delete nav-${id}; nft delete table ip navarch-pods-${id}; nft delete table ip navarch-services-${id}`,
  )
  rmSync(runDir, { recursive: true, force: true })
}
