/** Conversations with a command in a container (exec, attach), whatever the client speaks. */
import { Readable, Writable } from 'node:stream'
import type { Clock } from '#base'
import type { SessionStreams } from '../node-api.ts'
import { StatusError, badRequest, internalError, type Status } from '#machinery'
import type { UpgradeRequest } from './request.ts'
import { acceptChannels } from './channels.ts'
import { thenCall } from './frames.ts'
import { serveSpdy, type SpdyStream } from './spdy-server.ts'
import { chooseProtocol, wantsWebSocket } from './websocket.ts'

/** Which streams a session of exec, attach or port-forward has. */
export interface StreamOptions {
  readonly stdin: boolean
  readonly stdout: boolean
  readonly stderr: boolean
  readonly tty: boolean
}

/** The streams of one client, whatever protocol carries them. */
export interface Session {
  readonly streams: SessionStreams
  /** Aborts when the client is gone. */
  readonly gone: AbortSignal
  /** Tells the outcome and says goodbye; undefined for success. */
  finish(failure: StatusError | undefined): Promise<void>
}

const V5 = 'v5.channel.k8s.io'
const V4 = 'v4.channel.k8s.io'
/** The client's preference decides, as upstream. */
const WEBSOCKET_PROTOCOLS: readonly string[] = [
  V5,
  V4,
  'v4.base64.channel.k8s.io',
  'channel.k8s.io',
  'base64.channel.k8s.io',
]
const SPDY_PROTOCOLS: readonly string[] = [
  V4,
  'v3.channel.k8s.io',
  'v2.channel.k8s.io',
  'channel.k8s.io',
]

const STDIN = 0
const STDOUT = 1
const STDERR = 2
const ERROR = 3
const RESIZE = 4
/** v5: the next byte names a channel that its writer has closed. */
const CLOSE = 255
const STDIN_BUFFER_BYTES = 1 << 20
/** How long a client may take to open its streams. */
const STREAMS_TIMEOUT_MS = 30_000

/** Whether the request asks to go on in SPDY/3.1. */
export const wantsSpdy = ({ headers }: UpgradeRequest): boolean =>
  /\bupgrade\b/i.test(headers['connection'] ?? '') && /^spdy\/3\.1$/i.test(headers['upgrade'] ?? '')

/** Answers the upgrade and opens the streams that were asked for. */
export async function openSession(
  exchange: UpgradeRequest,
  options: StreamOptions,
  clock: Pick<Clock, 'sleep'>,
): Promise<Session> {
  if (exchange.upgrade !== undefined && wantsWebSocket(exchange))
    return webSocketSession(exchange, options)
  if (exchange.upgrade !== undefined && wantsSpdy(exchange))
    return spdySession(exchange, exchange.upgrade, options, clock)
  throw badRequest('Upgrade request required')
}

/** `{"metadata":{},"status":"Success"}`, or the failure: what the error stream carries since v4. */
function outcome(failure: StatusError | undefined): Buffer {
  if (failure === undefined) return Buffer.from(JSON.stringify({ metadata: {}, status: 'Success' }))
  const { kind: _kind, apiVersion: _version, ...status }: Status = failure.status
  return Buffer.from(JSON.stringify(status))
}

/** The exit code of a command that did not succeed, where clients look for it. */
export const exitStatus = (exitCode: number): StatusError =>
  StatusError.from({
    metadata: {},
    status: 'Failure',
    message: `command terminated with non-zero exit code: exit status ${exitCode}`,
    reason: 'NonZeroExitCode',
    details: { causes: [{ reason: 'ExitCode', message: String(exitCode) }] },
  })

async function webSocketSession(
  exchange: UpgradeRequest,
  options: StreamOptions,
): Promise<Session> {
  const protocol = chooseProtocol(exchange, WEBSOCKET_PROTOCOLS)
  if (protocol === undefined)
    throw badRequest(
      `unable to upgrade: no supported subprotocol among ${exchange.headers['sec-websocket-protocol'] ?? ''}`,
    )
  const structured = protocol === V5 || protocol.startsWith('v4.')
  const stdin = options.stdin ? inbox() : undefined
  const resize = resizeQueue()

  const connection = await acceptChannels(exchange, protocol, (channel, payload) => {
    if (channel === STDIN) return payload.length === 0 ? undefined : stdin?.put(payload)
    if (channel === RESIZE) resize.put(payload)
    if (channel === CLOSE && protocol === V5 && payload[0] === STDIN) stdin?.end()
    return undefined
  })
  connection.gone.addEventListener('abort', () => {
    stdin?.end()
    resize.end()
  })

  const outbox = (channel: number): Writable =>
    new Writable({
      write(chunk: Buffer, _encoding, callback) {
        void thenCall(connection.send(channel, chunk), callback)
      },
    })
  const stdout = options.stdout ? outbox(STDOUT) : undefined
  const stderr = options.stderr && !options.tty ? outbox(STDERR) : undefined
  // An empty message on the first channel that we write tells the client that the session is open.
  await connection.send(stdout ? STDOUT : stderr ? STDERR : ERROR, new Uint8Array())

  return {
    streams: {
      ...(stdin === undefined ? {} : { stdin: stdin.stream }),
      ...(stdout ? { stdout } : {}),
      ...(stderr ? { stderr } : {}),
      ...(options.tty ? { resize: resize.sizes } : {}),
    },
    gone: connection.gone,
    async finish(failure) {
      // What a slow client has not taken yet goes first: nothing is sent after the goodbye.
      await Promise.all([ended(stdout), ended(stderr)])
      if (structured) await connection.send(ERROR, outcome(failure))
      else if (failure !== undefined) await connection.send(ERROR, Buffer.from(failure.message))
      connection.close()
    },
  }
}

/** The client asks for versions in headers; old ones ask for none. */
export function spdyProtocol(
  exchange: UpgradeRequest,
  supported: readonly string[],
  fallback: string,
): string {
  const wanted = (exchange.headers['x-stream-protocol-version'] ?? '')
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '')
  if (wanted.length === 0) return fallback
  const found = wanted.find((name) => supported.includes(name))
  if (found === undefined)
    throw new StatusError(
      'Forbidden',
      `unable to upgrade: unable to negotiate protocol: client supports [${wanted.join(' ')}], server supports [${supported.join(' ')}]`,
    )
  return found
}

async function spdySession(
  exchange: UpgradeRequest,
  upgrade: NonNullable<UpgradeRequest['upgrade']>,
  options: StreamOptions,
  clock: Pick<Clock, 'sleep'>,
): Promise<Session> {
  const protocol = spdyProtocol(exchange, SPDY_PROTOCOLS, 'channel.k8s.io')
  const resizable = protocol === V4 || protocol.startsWith('v3')
  const wanted = [
    'error',
    ...(options.stdin ? ['stdin'] : []),
    ...(options.stdout ? ['stdout'] : []),
    ...(options.stderr && !options.tty ? ['stderr'] : []),
    ...(options.tty && resizable ? ['resize'] : []),
  ]
  const socket = await upgrade({
    connection: 'Upgrade',
    upgrade: 'SPDY/3.1',
    'x-stream-protocol-version': protocol,
  })
  const streams = new Map<string, SpdyStream>()
  let complete = (): void => undefined
  const all = new Promise<void>((resolve) => (complete = resolve))
  const connection = serveSpdy(socket, (stream) => {
    const type = stream.headers['streamtype'] ?? ''
    if (!wanted.includes(type) || streams.has(type)) stream.destroy()
    else streams.set(type, stream)
    if (streams.size === wanted.length) complete()
  })
  connection.gone.addEventListener('abort', () => complete())
  const waiting = new AbortController()
  await Promise.race([all, clock.sleep(STREAMS_TIMEOUT_MS, waiting.signal).catch(() => undefined)])
  waiting.abort()
  if (streams.size < wanted.length) {
    connection.close()
    throw new StatusError('Timeout', 'timed out waiting for client to create streams')
  }

  const { stdin, stdout, stderr, error } = Object.fromEntries(streams)
  const resize = resizeQueue()
  streams.get('resize')?.on('data', (chunk: Buffer) => resize.put(chunk))
  streams.get('resize')?.on('end', () => resize.end())
  connection.gone.addEventListener('abort', () => resize.end())
  // Nothing is expected from them; an end that is read lets them close.
  for (const stream of [stdout, stderr, error]) stream?.resume()
  return {
    streams: {
      ...(stdin === undefined ? {} : { stdin }),
      ...(stdout === undefined ? {} : { stdout }),
      ...(stderr === undefined ? {} : { stderr }),
      ...(options.tty ? { resize: resize.sizes } : {}),
    },
    gone: connection.gone,
    async finish(failure) {
      if (protocol === V4) await ended(error, outcome(failure))
      else await ended(error, failure === undefined ? undefined : Buffer.from(failure.message))
      await Promise.all([ended(stdout), ended(stderr), ended(stdin)])
      connection.close()
    },
  }
}

/** Ends the stream with some last bytes; resolves when they are on their way, or can no longer be. */
const ended = (stream: Writable | undefined, bytes?: Buffer): Promise<void> =>
  new Promise((resolve) => {
    if (stream === undefined || stream.destroyed || stream.writableFinished) {
      resolve()
      return
    }
    stream.once('close', () => resolve())
    const done = (): void => resolve()
    if (stream.writableEnded) stream.once('finish', done)
    else if (bytes === undefined) stream.end(done)
    else stream.end(bytes, done)
  })

/** Input that waits for its reader. */
function inbox(): {
  readonly stream: Readable
  put(bytes: Buffer): void | Promise<void>
  end(): void
} {
  let wanted = (): void => undefined
  let over = false
  const stream = new Readable({
    highWaterMark: STDIN_BUFFER_BYTES,
    read: () => wanted(),
    destroy(_error, callback) {
      over = true
      wanted()
      callback(null)
    },
  })
  return {
    stream,
    put(bytes) {
      if (over || stream.push(bytes)) return undefined
      return new Promise((resolve) => (wanted = resolve))
    },
    end() {
      if (over) return
      over = true
      wanted()
      stream.push(null)
    },
  }
}

interface Size {
  readonly width: number
  readonly height: number
}

/** Only the newest size matters: one that was not taken is replaced. */
function resizeQueue(): {
  readonly sizes: AsyncIterable<Size>
  put(json: Buffer): void
  end(): void
} {
  let newest: Size | undefined
  let over = false
  let wake = (): void => undefined
  let partial = ''
  async function* sizes(): AsyncGenerator<Size, void, undefined> {
    for (;;) {
      const size = newest
      newest = undefined
      if (size !== undefined) yield size
      else if (over) return
      else await new Promise<void>((resolve) => (wake = resolve))
    }
  }
  return {
    sizes: { [Symbol.asyncIterator]: sizes },
    put(json) {
      // Over SPDY a message may come in pieces, or several at once.
      partial = (partial + json.toString('utf8')).slice(-1024)
      for (const match of partial.matchAll(/\{[^{}]*\}/g)) {
        const size = readSize(match[0])
        if (size !== undefined) newest = size
        partial = partial.slice(partial.indexOf(match[0]) + match[0].length)
      }
      wake()
    },
    end() {
      over = true
      wake()
    },
  }
}

function readSize(json: string): Size | undefined {
  try {
    const { Width: width, Height: height } = JSON.parse(json) as {
      readonly Width?: unknown
      readonly Height?: unknown
    }
    return typeof width === 'number' && typeof height === 'number' ? { width, height } : undefined
  } catch {
    return undefined
  }
}

/** Failures of any kind as the client is told them. */
export const failureOf = (error: unknown, what: string): StatusError =>
  error instanceof StatusError
    ? error
    : internalError(`${what}: ${error instanceof Error ? error.message : String(error)}`)
