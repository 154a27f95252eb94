/** The outside world as it is. Only `cli/` makes one for the program, and tests that mean it. */
import * as childProcess from 'node:child_process'
import { randomBytes, randomInt } from 'node:crypto'
import * as dgram from 'node:dgram'
import * as fs from 'node:fs'
import * as fsp from 'node:fs/promises'
import * as nodeNet from 'node:net'
import * as os from 'node:os'
import * as path from 'node:path'
import type { Duplex } from 'node:stream'
import type {
  Clock,
  Env,
  FileStat,
  FileSystem,
  Listener,
  Network,
  Processes,
  Random,
  RunResult,
  UdpSocket,
} from './env.ts'
import { createLogger, formatText, type LogLevel, type LogRecord } from './log.ts'
import { createMetrics, type Metrics } from './metrics.ts'
import { sleepBy } from './sleep.ts'
import { randomUuid } from './uuid.ts'

/** What of the real environment a program may choose. */
export interface RealEnvOptions {
  readonly level?: LogLevel
  readonly component?: string
  /** Default: a line of text to standard error. */
  readonly sink?: (record: LogRecord) => void
}

/** The host itself. Made once, by the program or a library's user. */
export function realEnv(options: RealEnvOptions = {}): Env {
  const level = options.level ?? 'info'
  return {
    clock: realClock,
    random: realRandom,
    net: realNetwork,
    fs: realFileSystem,
    process: realProcesses,
    metrics: processMetrics(createMetrics()),
    log: createLogger({
      now: () => new Date(),
      level: () => level,
      sink: options.sink ?? ((record) => process.stderr.write(`${formatText(record)}\n`)),
      ...(options.component === undefined ? {} : { component: options.component }),
    }),
  }
}

/** Of this process, under the names that Prometheus' own client libraries use. */
function processMetrics(metrics: Metrics): Metrics {
  const startedAt = Date.now() / 1000 - process.uptime()
  const all: readonly (readonly [name: string, help: string, read: () => number | undefined])[] = [
    [
      'process_cpu_seconds_total',
      'User and system time, in seconds.',
      () => {
        const { user, system } = process.cpuUsage()
        return (user + system) / 1e6
      },
    ],
    ['process_resident_memory_bytes', 'Resident memory.', () => process.memoryUsage.rss()],
    ['process_virtual_memory_bytes', 'Virtual memory.', virtualBytes],
    ['process_open_fds', 'Open file descriptors.', openFiles],
    ['process_max_fds', 'The most file descriptors that may be open.', maxOpenFiles],
    ['process_start_time_seconds', 'When it began, in seconds since 1970.', () => startedAt],
    [
      'nodejs_heap_size_used_bytes',
      'Memory of JavaScript objects.',
      () => process.memoryUsage().heapUsed,
    ],
  ]
  for (const [name, help, read] of all)
    metrics.gauge({ name, help }, () => {
      const value = read()
      return value === undefined ? [] : [[[], value]]
    })
  return metrics
}

/** From /proc, as Prometheus' libraries do; absent where there is none. */
const ofProcess = <T>(read: () => T): T | undefined => {
  try {
    return read()
  } catch {
    return undefined
  }
}
const openFiles = () => ofProcess(() => fs.readdirSync('/proc/self/fd').length)
const numberIn = (file: string, pattern: RegExp) =>
  ofProcess(() => pattern.exec(fs.readFileSync(file, 'utf8'))?.[1])
function maxOpenFiles(): number | undefined {
  const limit = numberIn('/proc/self/limits', /^Max open files\s+(\d+)/m)
  return limit === undefined ? undefined : Number(limit)
}
function virtualBytes(): number | undefined {
  const kib = numberIn('/proc/self/status', /^VmSize:\s+(\d+) kB/m)
  return kib === undefined ? undefined : Number(kib) * 1024
}

/** The longest delay a timer takes; longer waits are made of several. */
const LONGEST_TIMER_MS = 2 ** 31 - 1

const realClock: Clock = {
  now: () => new Date(),
  monotonic: () => performance.now(),
  sleep: (ms, signal) => sleepReal(ms, signal),
  schedule(ms, run) {
    let timer: NodeJS.Timeout
    const arm = (left: number): void => {
      const step = Math.min(left, LONGEST_TIMER_MS)
      // oxlint-disable-next-line no-restricted-globals -- the one place where real time begins
      timer = setTimeout(() => (left > step ? arm(left - step) : run()), Math.max(0, step))
    }
    arm(ms)
    return () => clearTimeout(timer)
  },
}

const sleepReal = sleepBy(realClock.schedule)

const realRandom: Random = {
  next: () => randomInt(2 ** 47) / 2 ** 47,
  bytes: (length) => randomBytes(length),
  uuid: randomUuid,
}

const realNetwork: Network = {
  addresses: () =>
    Object.entries(os.networkInterfaces()).flatMap(([device, list]) =>
      (list ?? []).map(({ address, family, internal }) => ({ address, family, internal, device })),
    ),
  connect: (target, signal) =>
    new Promise<Duplex>((resolve, reject) => {
      const socket = nodeNet.connect({ ...target, ...(signal ? { signal } : {}) })
      socket.setNoDelay(true)
      socket.once('error', reject)
      socket.once('connect', () => {
        socket.off('error', reject)
        resolve(socket)
      })
    }),
  listen: (target, onConnection) =>
    new Promise<Listener>((resolve, reject) => {
      const sockets = new Set<nodeNet.Socket>()
      const server = nodeNet.createServer((socket) => {
        sockets.add(socket)
        socket.setNoDelay(true)
        socket.once('close', () => sockets.delete(socket))
        onConnection(socket)
      })
      server.once('error', reject)
      server.listen(target, () => {
        const address = server.address()
        resolve({
          port: typeof address === 'object' && address !== null ? address.port : 0,
          close: () =>
            new Promise((done) => {
              server.close(() => done())
              for (const socket of sockets) socket.destroy()
            }),
        })
      })
    }),
  udp: (target, onMessage) =>
    new Promise<UdpSocket>((resolve, reject) => {
      const socket = dgram.createSocket({ type: target.host.includes(':') ? 'udp6' : 'udp4' })
      socket.once('error', reject)
      socket.on('message', (message, from) => onMessage(message, from))
      socket.bind(target.port, target.host, () => {
        socket.off('error', reject)
        // A datagram that cannot be delivered is lost, as UDP is: not a reason to stop.
        socket.on('error', () => undefined)
        resolve({
          port: socket.address().port,
          send: (message, to) => socket.send(message, to.port, to.address),
          close: () => new Promise((done) => socket.close(() => done())),
        })
      })
    }),
}

const absent = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR')

let temporary = 0

const realFileSystem: FileSystem = {
  read: (file) => fsp.readFile(file),
  readText: (file) => fsp.readFile(file, 'utf8'),
  async write(file, data, { mode = 0o600, atomic = false } = {}) {
    if (!atomic) {
      await fsp.writeFile(file, data, { mode })
      return
    }
    const partial = path.join(
      path.dirname(file),
      `.${path.basename(file)}.${process.pid}.${temporary++}`,
    )
    const handle = await fsp.open(partial, 'w', mode)
    try {
      await handle.writeFile(data)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await fsp.rename(partial, file)
  },
  append: (file, data) => fsp.appendFile(file, data, { mode: 0o600 }),
  async makeFolder(folder, { mode = 0o700 } = {}) {
    await fsp.mkdir(folder, { recursive: true, mode })
  },
  list: (folder) => fsp.readdir(folder),
  async stat(file) {
    try {
      return fileStat(await fsp.lstat(file))
    } catch (error) {
      if (absent(error)) return undefined
      throw error
    }
  },
  remove: (file) => fsp.rm(file, { recursive: true, force: true }),
  rename: (from, to) => fsp.rename(from, to),
  symlink: (target, file) => fsp.symlink(target, file),
  readLink: (file) => fsp.readlink(file),
  chmod: (file, mode) => fsp.chmod(file, mode),
  chown: (file, uid, gid) => fsp.chown(file, uid, gid),
  watch(file, onChange, signal) {
    if (signal.aborted) return
    const watcher = fs.watch(file, { persistent: false, signal }, () => onChange())
    watcher.on('error', () => undefined)
  },
  async usage(file) {
    const s = await fsp.statfs(file)
    return {
      totalBytes: s.blocks * s.bsize,
      freeBytes: s.bavail * s.bsize,
      inodes: s.files,
      freeInodes: s.ffree,
    }
  },
}

function fileStat(s: fs.Stats): FileStat {
  const kind = s.isFile()
    ? 'file'
    : s.isDirectory()
      ? 'folder'
      : s.isSymbolicLink()
        ? 'symlink'
        : s.isSocket()
          ? 'socket'
          : s.isBlockDevice() || s.isCharacterDevice()
            ? 'device'
            : 'other'
  return {
    kind,
    size: s.size,
    mode: s.mode & 0o7777,
    uid: s.uid,
    gid: s.gid,
    modified: s.mtime,
    inode: s.ino,
  }
}

/** What one command may print before the rest is cut. */
const OUTPUT_LIMIT_BYTES = 64 * 1024 * 1024

const realProcesses: Processes = {
  pid: process.pid,
  environment: process.env,
  run: ([command, ...args], { input, env, cwd, signal, timeoutMs } = {}) =>
    new Promise<RunResult>((resolve, reject) => {
      const child = childProcess.spawn(command, args, {
        stdio: ['pipe', 'pipe', 'pipe'],
        ...(env ? { env: { ...process.env, ...env } } : {}),
        ...(cwd === undefined ? {} : { cwd }),
        ...(signal ? { signal } : {}),
        ...(timeoutMs === undefined ? {} : { timeout: timeoutMs, killSignal: 'SIGKILL' }),
      })
      const collect = (stream: NodeJS.ReadableStream): (() => string) => {
        const chunks: Buffer[] = []
        let size = 0
        stream.on('data', (chunk: Buffer) => {
          size += chunk.length
          if (size <= OUTPUT_LIMIT_BYTES) chunks.push(chunk)
        })
        return () => Buffer.concat(chunks).toString('utf8')
      }
      const stdout = collect(child.stdout)
      const stderr = collect(child.stderr)
      child.once('error', reject)
      child.once('close', (code, killedBy) =>
        resolve({
          code: code ?? undefined,
          signal: killedBy ?? undefined,
          stdout: stdout(),
          stderr: stderr(),
        }),
      )
      // A command that ends without reading its input is judged by its exit code.
      child.stdin.on('error', () => undefined)
      child.stdin.end(input)
    }),
  spawn([command, ...args], { env, cwd, detached = false, logFile } = {}) {
    const output = logFile === undefined ? 'ignore' : fs.openSync(logFile, 'a', 0o600)
    const child = childProcess.spawn(command, args, {
      stdio: ['ignore', output, output],
      detached,
      ...(env ? { env: { ...process.env, ...env } } : {}),
      ...(cwd === undefined ? {} : { cwd }),
    })
    if (typeof output === 'number') fs.closeSync(output)
    if (detached) child.unref()
    const exited = new Promise<{ code: number | undefined; signal: string | undefined }>(
      (resolve) => {
        child.once('exit', (code, signal) =>
          resolve({ code: code ?? undefined, signal: signal ?? undefined }),
        )
        child.once('error', () => resolve({ code: 127, signal: undefined }))
      },
    )
    return { pid: child.pid ?? -1, exited, kill: (signal = 'SIGTERM') => void child.kill(signal) }
  },
}
