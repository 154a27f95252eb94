/**
 * Everything that comes from outside the program. Code asks for the least of it:
 * `{ clock }: Pick<Env, 'clock'>`. Only `cli/` makes the real one; the simulator makes a virtual one.
 */
import type { Duplex } from 'node:stream'
import type { Metrics } from './metrics.ts'
import type { Tracing } from './tracing.ts'

/** All of the world that the program can see and touch. Whoever needs a part of it asks for that part. */
export interface Env {
  readonly clock: Clock
  readonly random: Random
  readonly net: Network
  readonly fs: FileSystem
  readonly process: Processes
  readonly log: Logger
  readonly metrics: Metrics
  /** Absent when nobody collects traces. */
  readonly tracing?: Tracing | undefined
}

export interface Clock {
  /** Wall time, for timestamps people see. It may jump. */
  now(): Date
  /** Milliseconds from an arbitrary origin, for durations and deadlines. It never goes back. */
  monotonic(): number
  /** Resolves after `ms`; rejects with the signal's reason when it aborts first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
  /** Calls `run` once after `ms`; the returned function cancels it. */
  schedule(ms: number, run: () => void): () => void
}

/** Chance; a test gives a seed. */
export interface Random {
  /** A number in [0, 1). */
  next(): number
  /** Random bytes; from the operating system in the real one, from the seed in the simulator. */
  bytes(length: number): Uint8Array
  /** An RFC 9562 version 4 UUID. */
  uuid(): string
}

/** The addresses of the host and what can be opened there. */
export interface Network {
  /** The host's own addresses. */
  addresses(): readonly HostAddress[]
  /** A TCP connection, or a unix socket for `{ path }`. Rejects when it cannot be made. */
  connect(
    target: { readonly host: string; readonly port: number } | { readonly path: string },
    signal?: AbortSignal,
  ): Promise<Duplex>
  listen(
    target: { readonly host: string; readonly port: number } | { readonly path: string },
    onConnection: (socket: Duplex) => void,
  ): Promise<Listener>
  /** A UDP socket bound to the address; `onMessage` gets each datagram. */
  udp(
    target: { readonly host: string; readonly port: number },
    onMessage: (message: Uint8Array, from: { address: string; port: number }) => void,
  ): Promise<UdpSocket>
}

/** One address of one interface. */
export interface HostAddress {
  readonly address: string
  readonly family: 'IPv4' | 'IPv6'
  /** Loopback. */
  readonly internal: boolean
  /** Name of the interface. */
  readonly device: string
}

/** A port that is open until it is closed. */
export interface Listener {
  readonly port: number
  close(): Promise<void>
}

/** Datagrams of one port. */
export interface UdpSocket {
  readonly port: number
  send(message: Uint8Array, to: { readonly address: string; readonly port: number }): void
  close(): Promise<void>
}

/** Files and folders; errors carry Node's codes, such as ENOENT. */
export interface FileSystem {
  read(path: string): Promise<Uint8Array>
  readText(path: string): Promise<string>
  /** Writes the whole file; `atomic` by a temporary file, fsync and rename. Mode defaults to 0600. */
  write(
    path: string,
    data: Uint8Array | string,
    options?: { readonly mode?: number; readonly atomic?: boolean },
  ): Promise<void>
  append(path: string, data: Uint8Array | string): Promise<void>
  /** Creates the folder and its parents. Mode defaults to 0700. */
  makeFolder(path: string, options?: { readonly mode?: number }): Promise<void>
  list(path: string): Promise<readonly string[]>
  /** Undefined when nothing is there. Symlinks are not followed. */
  stat(path: string): Promise<FileStat | undefined>
  /** Removes file or folder, with all below it; nothing happens when it is absent. */
  remove(path: string): Promise<void>
  rename(from: string, to: string): Promise<void>
  symlink(target: string, path: string): Promise<void>
  readLink(path: string): Promise<string>
  chmod(path: string, mode: number): Promise<void>
  chown(path: string, uid: number, gid: number): Promise<void>
  /** Calls back when something at the path changes, until the signal aborts. */
  watch(path: string, onChange: () => void, signal: AbortSignal): void
  /** Bytes of the file system that holds the path. */
  usage(path: string): Promise<{
    readonly totalBytes: number
    readonly freeBytes: number
    readonly inodes: number
    readonly freeInodes: number
  }>
}

/** What there is at a path. */
export interface FileStat {
  readonly kind: 'file' | 'folder' | 'symlink' | 'socket' | 'device' | 'other'
  readonly size: number
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly modified: Date
  readonly inode: number
}

/** Programs of the host, and this one. */
export interface Processes {
  /** Runs to the end and gives what it printed. Never rejects for a non-zero exit: look at `code`. Rejects when it cannot be started. */
  run(command: readonly [string, ...string[]], options?: RunOptions): Promise<RunResult>
  /** Starts and hands over the running process. */
  spawn(command: readonly [string, ...string[]], options?: SpawnOptions): ChildProcess
  readonly pid: number
  readonly environment: Readonly<Record<string, string | undefined>>
}

/** How a program is run to its end. */
export interface RunOptions {
  readonly input?: Uint8Array | string
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  readonly signal?: AbortSignal
  readonly timeoutMs?: number
}
/** What a program that has ended said. */
export interface RunResult {
  readonly code: number | undefined
  readonly signal: string | undefined
  readonly stdout: string
  readonly stderr: string
}
/** How a program is started that goes on beside this one. */
export interface SpawnOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** Survives this program, in a session of its own. */
  readonly detached?: boolean
  /** Where its output goes: a file to append to. Default: discarded. */
  readonly logFile?: string
}
/** A program that was started and may have ended. */
export interface ChildProcess {
  readonly pid: number
  readonly exited: Promise<{
    readonly code: number | undefined
    readonly signal: string | undefined
  }>
  kill(signal?: 'SIGTERM' | 'SIGKILL' | 'SIGINT' | 'SIGHUP'): void
}

/** What a line of the log is about, besides its words. */
export type LogFields = Readonly<Record<string, unknown>>

/** A log line is a constant message and fields. Secrets never are among them. */
export interface Logger {
  debug(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  error(message: string, fields?: LogFields): void
  /** A logger that names its component: `log.for('kubelet')`. */
  for(component: string): Logger
}
