/** A world of its own: time moves only when told, chance comes from a seed, the network and the disk are in memory. */
import { Duplex } from 'node:stream'
import type {
  Clock,
  Env,
  FileStat,
  FileSystem,
  Listener,
  Network,
  Processes,
  Random,
  UdpSocket,
} from './env.ts'
import { silentLogger } from './log.ts'
import { createMetrics } from './metrics.ts'

export interface VirtualEnv extends Env {
  /** Lets `ms` of virtual time pass: timers run in order, and what they start settles before the next one. */
  advance(ms: number): Promise<void>
  /** Lets what is ready run, without time passing. */
  settle(): Promise<void>
  /** Sets the wall clock forward, or back: no time passes. */
  jump(ms: number): void
  /** Milliseconds until the next timer; undefined when nothing waits. */
  nextTimer(): number | undefined
}

export interface VirtualEnvOptions {
  readonly seed?: number
  /** Wall time at the beginning. */
  readonly start?: Date
  readonly log?: Env['log']
}

export function virtualEnv({
  seed = 1,
  start = new Date('2026-01-01T00:00:00Z'),
  log = silentLogger,
}: VirtualEnvOptions = {}): VirtualEnv {
  const time = virtualClock(start)
  return {
    clock: time.clock,
    random: seededRandom(seed),
    net: memoryNetwork(),
    fs: memoryFileSystem(time.clock),
    process: noProcesses,
    metrics: createMetrics(),
    log,
    advance: time.advance,
    settle,
    jump: time.jump,
    nextTimer: time.next,
  }
}

/** Rounds of the event loop that follow every timer, so that chains of promises and streams come to rest. */
const SETTLE_ROUNDS = 4

async function settle(): Promise<void> {
  for (let round = 0; round < SETTLE_ROUNDS; round++)
    await new Promise((resolve) => setImmediate(resolve))
}

interface Timer {
  readonly at: number
  readonly order: number
  readonly run: () => void
  cancelled: boolean
}

function virtualClock(start: Date): {
  clock: Clock
  advance: (ms: number) => Promise<void>
  jump: (ms: number) => void
  next: () => number | undefined
} {
  let elapsed = 0
  let set = 0
  let order = 0
  const timers: Timer[] = []
  const before = (a: Timer, b: Timer): boolean =>
    a.at < b.at || (a.at === b.at && a.order < b.order)

  const push = (timer: Timer): void => {
    timers.push(timer)
    let i = timers.length - 1
    while (i > 0) {
      const parent = (i - 1) >> 1
      if (!before(timers[i]!, timers[parent]!)) break
      ;[timers[i], timers[parent]] = [timers[parent]!, timers[i]!]
      i = parent
    }
  }
  const pop = (): Timer | undefined => {
    const top = timers[0]
    const last = timers.pop()
    if (top === undefined || last === undefined || timers.length === 0) return top
    timers[0] = last
    for (let i = 0; ;) {
      const left = 2 * i + 1
      const right = left + 1
      let least = i
      if (left < timers.length && before(timers[left]!, timers[least]!)) least = left
      if (right < timers.length && before(timers[right]!, timers[least]!)) least = right
      if (least === i) return top
      ;[timers[i], timers[least]] = [timers[least]!, timers[i]!]
      i = least
    }
  }
  const peek = (): Timer | undefined => {
    while (timers[0]?.cancelled) pop()
    return timers[0]
  }

  const schedule = (ms: number, run: () => void): (() => void) => {
    const timer: Timer = { at: elapsed + Math.max(0, ms), order: order++, run, cancelled: false }
    push(timer)
    return () => {
      timer.cancelled = true
    }
  }
  const clock: Clock = {
    now: () => new Date(start.getTime() + set + elapsed),
    monotonic: () => elapsed,
    schedule,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted) {
          reject(signal.reason as Error)
          return
        }
        const onAbort = (): void => {
          cancel()
          reject(signal?.reason as Error)
        }
        const cancel = schedule(ms, () => {
          signal?.removeEventListener('abort', onAbort)
          resolve()
        })
        signal?.addEventListener('abort', onAbort, { once: true })
      }),
  }
  return {
    clock,
    next: () => {
      const timer = peek()
      return timer === undefined ? undefined : Math.max(0, timer.at - elapsed)
    },
    jump(ms) {
      set += ms
    },
    async advance(ms) {
      const target = elapsed + ms
      await settle()
      for (let timer = peek(); timer !== undefined && timer.at <= target; timer = peek()) {
        elapsed = Math.max(elapsed, timer.at)
        // All that is due at this instant runs before the loop turns, as it would in one tick of a real clock.
        for (let due = peek(); due !== undefined && due.at <= elapsed; due = peek()) {
          pop()
          due.run()
        }
        await settle()
      }
      elapsed = target
    },
  }
}

/** xoshiro128** from one seed (Blackman and Vigna): small, fast, and the same everywhere. */
export function seededRandom(seed: number): Random {
  let mix = seed >>> 0
  const word = (): number => {
    mix = (mix + 0x9e3779b9) >>> 0
    let z = mix
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b)
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35)
    return (z ^ (z >>> 16)) >>> 0
  }
  let [a, b, c, d] = [word(), word(), word(), word()]
  const rotate = (x: number, k: number): number => ((x << k) | (x >>> (32 - k))) >>> 0
  const next32 = (): number => {
    const result = Math.imul(rotate(Math.imul(b, 5) >>> 0, 7), 9) >>> 0
    const t = (b << 9) >>> 0
    c = (c ^ a) >>> 0
    d = (d ^ b) >>> 0
    b = (b ^ c) >>> 0
    a = (a ^ d) >>> 0
    c = (c ^ t) >>> 0
    d = rotate(d, 11)
    return result
  }
  const bytes = (length: number): Uint8Array => Uint8Array.from({ length }, () => next32() & 0xff)
  return {
    next: () => (next32() * 2 ** 21 + (next32() >>> 11)) / 2 ** 53,
    bytes,
    uuid: () => {
      const b = bytes(16)
      b[6] = ((b[6] ?? 0) & 0x0f) | 0x40
      b[8] = ((b[8] ?? 0) & 0x3f) | 0x80
      const hex = Array.from(b, (x) => x.toString(16).padStart(2, '0')).join('')
      return [
        hex.slice(0, 8),
        hex.slice(8, 12),
        hex.slice(12, 16),
        hex.slice(16, 20),
        hex.slice(20),
      ].join('-')
    },
  }
}

/** Two ends of one pipe. */
export function duplexPair(): [Duplex, Duplex] {
  const make = (other: () => Duplex): Duplex =>
    new Duplex({
      read: () => undefined,
      write(chunk, _encoding, done) {
        other().push(chunk)
        done()
      },
      final(done) {
        other().push(null)
        done()
      },
      destroy(error, done) {
        if (!other().destroyed) other().destroy()
        done(error)
      },
    })
  const left: Duplex = make(() => right)
  const right: Duplex = make(() => left)
  return [left, right]
}

function memoryNetwork(): Network {
  const listeners = new Map<string, (socket: Duplex) => void>()
  const sockets = new Map<
    string,
    (message: Uint8Array, from: { address: string; port: number }) => void
  >()
  let nextPort = 32_768
  const name = (target: { host: string; port: number } | { path: string }): string =>
    'path' in target ? target.path : `${target.host}:${target.port}`
  const find = <T>(table: Map<string, T>, host: string, port: number): T | undefined =>
    table.get(`${host}:${port}`) ?? table.get(`0.0.0.0:${port}`)
  return {
    addresses: () => [{ address: '127.0.0.1', family: 'IPv4', internal: true, device: 'lo' }],
    async connect(target) {
      const accept =
        'path' in target ? listeners.get(target.path) : find(listeners, target.host, target.port)
      if (accept === undefined) {
        throw Object.assign(new Error(`connect ECONNREFUSED ${name(target)}`), {
          code: 'ECONNREFUSED',
        })
      }
      const [near, far] = duplexPair()
      queueMicrotask(() => accept(far))
      return near
    },
    async listen(target, onConnection): Promise<Listener> {
      const port = 'path' in target ? 0 : target.port === 0 ? nextPort++ : target.port
      const key = 'path' in target ? target.path : `${target.host}:${port}`
      if (listeners.has(key))
        throw Object.assign(new Error(`listen EADDRINUSE ${key}`), { code: 'EADDRINUSE' })
      listeners.set(key, onConnection)
      return { port, close: async () => void listeners.delete(key) }
    },
    async udp(target, onMessage): Promise<UdpSocket> {
      const port = target.port === 0 ? nextPort++ : target.port
      const key = `${target.host}:${port}`
      sockets.set(key, onMessage)
      return {
        port,
        send: (message, to) =>
          queueMicrotask(() =>
            find(sockets, to.address, to.port)?.(message, { address: target.host, port }),
          ),
        close: async () => void sockets.delete(key),
      }
    },
  }
}

interface Node {
  kind: 'file' | 'folder' | 'symlink'
  data: Uint8Array
  mode: number
  uid: number
  gid: number
  modified: Date
  inode: number
}

const failure = (code: string, path: string): Error =>
  Object.assign(new Error(`${code}: ${path}`), { code })
const bytesOf = (data: Uint8Array | string): Uint8Array =>
  typeof data === 'string' ? new TextEncoder().encode(data) : data.slice()

function memoryFileSystem(clock: Clock): FileSystem {
  const nodes = new Map<string, Node>()
  const watchers = new Map<string, Set<() => void>>()
  let inode = 1
  const clean = (path: string): string =>
    `/${path
      .split('/')
      .filter((part) => part !== '' && part !== '.')
      .join('/')}`
  const parent = (path: string): string => path.slice(0, Math.max(1, path.lastIndexOf('/')))
  const make = (kind: Node['kind'], data: Uint8Array, mode: number): Node => ({
    kind,
    data,
    mode,
    uid: 0,
    gid: 0,
    modified: clock.now(),
    inode: inode++,
  })
  nodes.set('/', make('folder', new Uint8Array(), 0o755))
  const follow = (path: string): string => {
    let at = clean(path)
    for (let hop = 0; hop < 8; hop++) {
      const node = nodes.get(at)
      if (node?.kind !== 'symlink') return at
      const target = new TextDecoder().decode(node.data)
      at = target.startsWith('/') ? clean(target) : clean(`${parent(at)}/${target}`)
    }
    throw failure('ELOOP', path)
  }
  const tell = (path: string): void => {
    for (const key of [path, parent(path)])
      for (const run of watchers.get(key) ?? []) queueMicrotask(run)
  }
  const must = (path: string): Node => {
    const node = nodes.get(path)
    if (node === undefined) throw failure('ENOENT', path)
    return node
  }
  const put = (path: string, node: Node): void => {
    if (nodes.get(parent(path))?.kind !== 'folder') throw failure('ENOENT', path)
    nodes.set(path, node)
    tell(path)
  }
  const below = (path: string): string[] =>
    [...nodes.keys()].filter((key) => key === path || key.startsWith(`${path}/`))
  return {
    read: async (path) => must(follow(path)).data.slice(),
    readText: async (path) => new TextDecoder().decode(must(follow(path)).data),
    write: async (path, data, { mode = 0o600 } = {}) =>
      put(follow(path), make('file', bytesOf(data), mode)),
    async append(path, data) {
      const at = follow(path)
      const old = nodes.get(at)
      const more = bytesOf(data)
      const joined = new Uint8Array((old?.data.length ?? 0) + more.length)
      joined.set(old?.data ?? new Uint8Array())
      joined.set(more, old?.data.length ?? 0)
      put(at, make('file', joined, old?.mode ?? 0o600))
    },
    async makeFolder(path, { mode = 0o700 } = {}) {
      let at = ''
      for (const part of clean(path).split('/').filter(Boolean)) {
        at = follow(`${at}/${part}`)
        if (!nodes.has(at)) put(at, make('folder', new Uint8Array(), mode))
      }
    },
    async list(path) {
      const at = follow(path)
      if (must(at).kind !== 'folder') throw failure('ENOTDIR', path)
      const prefix = at === '/' ? '/' : `${at}/`
      return [...nodes.keys()]
        .filter(
          (key) => key !== '/' && key.startsWith(prefix) && !key.slice(prefix.length).includes('/'),
        )
        .map((key) => key.slice(prefix.length))
        .toSorted()
    },
    async stat(path): Promise<FileStat | undefined> {
      const node = nodes.get(clean(path))
      if (node === undefined) return undefined
      const { kind, mode, uid, gid, modified } = node
      return { kind, size: node.data.length, mode, uid, gid, modified, inode: node.inode }
    },
    async remove(path) {
      for (const key of below(clean(path))) nodes.delete(key)
      tell(clean(path))
    },
    async rename(from, to) {
      const [source, target] = [clean(from), clean(to)]
      must(source)
      for (const key of below(target)) nodes.delete(key)
      for (const key of below(source)) {
        nodes.set(target + key.slice(source.length), must(key))
        nodes.delete(key)
      }
      tell(source)
      tell(target)
    },
    symlink: async (target, path) => put(clean(path), make('symlink', bytesOf(target), 0o777)),
    readLink: async (path) => new TextDecoder().decode(must(clean(path)).data),
    chmod: async (path, mode) => void (must(follow(path)).mode = mode),
    chown: async (path, uid, gid) => void Object.assign(must(follow(path)), { uid, gid }),
    watch(path, onChange, signal) {
      const key = clean(path)
      const set = watchers.get(key) ?? new Set()
      watchers.set(key, set.add(onChange))
      signal.addEventListener('abort', () => set.delete(onChange), { once: true })
    },
    usage: async () => ({
      totalBytes: 2 ** 40,
      freeBytes: 2 ** 39,
      inodes: 2 ** 26,
      freeInodes: 2 ** 25,
    }),
  }
}

const noProcesses: Processes = {
  pid: 1,
  environment: {},
  run: async ([command]) => {
    throw failure('ENOENT', `${command}: there are no processes in a virtual world`)
  },
  spawn: ([command]) => {
    throw failure('ENOENT', `${command}: there are no processes in a virtual world`)
  },
}
