/** What benches of the whole program share: starting it as a user would, and reading what Linux knows of a process. */
import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { get } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { createClient, httpTransport, parseKubeconfig, type Client } from '#client'
import type { Figure } from './run.ts'
import { freePort } from '../test/support/free-port.ts'

export const root = fileURLToPath(new URL('..', import.meta.url))
export const report = (figure: Figure): void => console.log(JSON.stringify(figure))

/** As `up` starts its server; more flags of Node, such as `--cpu-prof`, may be given. */
const FLAGS = [
  '--max-semi-space-size=16',
  ...(process.env['BENCH_NODE_FLAGS'] ?? '').split(' ').filter((flag) => flag !== ''),
]

/** How often something is looked at that cannot be waited for. */
const POLL_MS = 5
const START_LIMIT_MS = 60_000

export interface Ran {
  readonly ms: number
  readonly stdout: string
  /** Milliseconds from the start to each line of the output. */
  readonly lines: readonly { readonly ms: number; readonly text: string }[]
}

/** A place for clusters of their own: folder, port, kubeconfig; the program runs in it as a command or as a server. */
export interface Place {
  readonly dataDir: string
  readonly port: number
  /** Runs a command of the program to its end; throws when it fails. */
  run(...words: string[]): Promise<Ran>
  /** Starts `up --foreground`, or `server`, and leaves it running. */
  start(words?: readonly string[]): Served
  /** Deletes the cluster and the folder. */
  leave(): Promise<void>
}

export interface Served {
  readonly pid: number
  readonly startedAt: number
  /** `/readyz` answers 200: milliseconds from the start. */
  readonly apiReady: Promise<number>
  /** With the rights of an administrator, over HTTP/2. */
  client(): Promise<Client & { close(): void }>
  /** A Node is Ready: milliseconds from the start. */
  nodeReady(): Promise<number>
  /** Ends it as a service manager does, containers left running. */
  stop(): Promise<void>
}

export async function makePlace(variables: Readonly<Record<string, string>> = {}): Promise<Place> {
  const base = mkdtempSync(join(tmpdir(), 'navarch-bench-'))
  const dataDir = join(base, 'data')
  const port = await freePort()
  const main = join(root, 'src', 'cli', 'main.ts')
  const environment = {
    ...process.env,
    ...variables,
    KUBECONFIG: join(base, 'kubeconfig'),
    NAVARCH_DATA_DIR: dataDir,
    NODE_EXTRA_CA_CERTS: '',
  }
  // A shell's variable would stand in the way of the program's own certificates.
  const launch = (words: readonly string[], stdio: 'pipe' | 'ignore'): ChildProcess =>
    spawn(process.execPath, [...FLAGS, main, ...words], {
      env: environment,
      stdio: ['ignore', stdio, stdio],
    })

  const children: ChildProcess[] = []
  const run: Place['run'] = async (...words) => {
    const startedAt = performance.now()
    const child = launch(words, 'pipe')
    const lines: { ms: number; text: string }[] = []
    let stdout = ''
    let stderr = ''
    child.stdout?.on('data', (chunk: Buffer) => {
      stdout += String(chunk)
      const ms = performance.now() - startedAt
      for (const text of String(chunk).split('\n')) if (text !== '') lines.push({ ms, text })
    })
    child.stderr?.on('data', (chunk: Buffer) => (stderr += String(chunk)))
    const code = await new Promise((resolve) => child.once('exit', resolve))
    const ms = performance.now() - startedAt
    if (code !== 0)
      throw new Error(`navarch ${words.join(' ')} ended with ${String(code)}: ${stderr}`)
    return { ms, stdout, lines }
  }

  return {
    dataDir,
    port,
    run,
    start(words = ['up', '--foreground', '--node-name=node-1']) {
      const startedAt = performance.now()
      const child = launch([...words, `--port=${port}`], 'ignore')
      children.push(child)
      const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
      const open = async (): Promise<Client & { close(): void }> => {
        const file = join(dataDir, 'kubeconfig')
        while (!existsSync(file)) await sleep(POLL_MS)
        const transport = httpTransport(parseKubeconfig(readFileSync(file, 'utf8')))
        return { ...createClient(transport), close: () => transport.close() }
      }
      const apiReady = untilReady(port).then(() => performance.now() - startedAt)
      apiReady.catch(() => undefined)
      return {
        pid: child.pid ?? -1,
        startedAt,
        apiReady,
        client: open,
        async nodeReady() {
          await apiReady
          const client = await open()
          try {
            const nodes = { group: '', version: 'v1', resource: 'nodes', kind: 'Node' }
            const events = await client.watch(
              { ...nodes, namespaced: false },
              { sendInitialEvents: true },
            )
            for await (const batch of events)
              for (const { object } of batch)
                if (isReady(object)) return performance.now() - startedAt
            throw new Error('the watch of nodes ended')
          } finally {
            client.close()
          }
        },
        async stop() {
          child.kill('SIGTERM')
          await exited
        },
      }
    },
    async leave() {
      for (const child of children) if (child.exitCode === null) child.kill('SIGTERM')
      await run('delete', '--yes')
      rmSync(base, { recursive: true, force: true })
    },
  }
}

const isReady = (object: unknown): boolean =>
  (
    object as { status?: { conditions?: readonly { type: string; status: string }[] } }
  ).status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true

async function untilReady(port: number): Promise<void> {
  const deadline = performance.now() + START_LIMIT_MS
  for (;;) {
    const status = await new Promise((resolve) => {
      const request = get(
        { host: '127.0.0.1', port, path: '/readyz', rejectUnauthorized: false, agent: false },
        (response) => resolve(response.resume().statusCode),
      )
      request.on('error', () => resolve(undefined))
    })
    if (status === 200) return
    if (performance.now() > deadline) throw new Error('the API was not ready within a minute')
    await sleep(POLL_MS)
  }
}

/** Clock ticks a second of /proc/PID/stat: 100 on every Linux that Node runs on. */
const TICKS_A_SECOND = 100

/** Seconds of CPU a process has used. */
export function cpuSeconds(pid: number, { mainThread = false } = {}): number {
  const text = readFileSync(`/proc/${pid}/${mainThread ? `task/${pid}/` : ''}stat`, 'utf8')
  // The name in parentheses may hold spaces; utime and stime are the 14th and 15th fields.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / TICKS_A_SECOND
}

export const residentMegabytes = (pid: number): number =>
  numberIn(`/proc/${pid}/status`, /^VmRSS:\s+(\d+)/m) / 1024

/** Since it began. */
export const mostResidentMegabytes = (pid: number): number =>
  numberIn(`/proc/${pid}/status`, /^VmHWM:\s+(\d+)/m) / 1024

/** Bytes a process has caused to be written to a disk. */
export const writtenBytes = (pid: number): number =>
  numberIn(`/proc/${pid}/io`, /^write_bytes: (\d+)/m)

const numberIn = (file: string, pattern: RegExp): number =>
  Number(pattern.exec(readFileSync(file, 'utf8'))?.[1] ?? 0)

export function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? 0
}
