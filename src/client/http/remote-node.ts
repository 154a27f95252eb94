/** The kubelet of another machine, over TLS. */
import * as https from 'node:https'
import { Duplex } from 'node:stream'
import { StatusError, type Status } from '#machinery'
import type { NodeApi, SessionStreams } from '../node-api.ts'
import {
  CHANNEL,
  frameWriter,
  INPUT_WINDOW_BYTES,
  NODE_PATH,
  NODE_PROTOCOL,
  readControl,
  readFrames,
  roomIn,
  type Frame,
  type FrameWriter,
  type NodeCall,
} from './node-frames.ts'

export interface RemoteNodeOptions {
  readonly address: string
  readonly port: number
  /** The kubelet's certificate must be for this name. */
  readonly nodeName: string
  readonly tls: {
    /** PEM of the authority that signed the kubelet's certificate. */
    readonly authority: string
    /** The API server's own, PEM. */
    readonly certificate: string
    readonly key: string
  }
}

const CONNECT_TIMEOUT_MS = 10_000
const MAX_PAGE_BYTES = 64 << 20

/** A kubelet of another process, reached over TLS. */
export function remoteNodeApi(options: RemoteNodeOptions): NodeApi {
  const { nodeName, tls } = options
  const request = (path: string, headers: Record<string, string>, signal?: AbortSignal) =>
    https.request({
      host: options.address,
      port: options.port,
      path,
      headers,
      agent: false,
      ca: tls.authority,
      cert: tls.certificate,
      key: tls.key,
      servername: nodeName,
      minVersion: 'TLSv1.2',
      timeout: CONNECT_TIMEOUT_MS,
      ...(signal === undefined ? {} : { signal }),
    })
  const unreachable = (error: Error): StatusError =>
    new StatusError(
      'InternalError',
      `error dialing backend: the kubelet of node "${nodeName}" at ${options.address}:${options.port} cannot be reached: ${error.message}`,
    )

  const open = async (call: NodeCall, signal: AbortSignal): Promise<Conversation> => {
    signal.throwIfAborted()
    const { socket, head } = await new Promise<{ socket: Duplex; head: Buffer }>(
      (resolve, reject) => {
        const outgoing = request(NODE_PATH, { connection: 'Upgrade', upgrade: NODE_PROTOCOL })
        const stop = (): void => void outgoing.destroy(abortReason(signal))
        signal.addEventListener('abort', stop, { once: true })
        outgoing.on('close', () => signal.removeEventListener('abort', stop))
        outgoing.on('timeout', () => outgoing.destroy(new Error('no answer in time')))
        outgoing.on('error', (error) => reject(signal.aborted ? error : unreachable(error)))
        outgoing.on('response', (response) => {
          response.resume()
          reject(unreachable(new Error(`it answered ${response.statusCode}`)))
        })
        outgoing.on('upgrade', (_response, upgraded, first) => {
          upgraded.setTimeout(0)
          signal.removeEventListener('abort', stop)
          resolve({ socket: upgraded, head: first })
        })
        outgoing.end()
      },
    )
    socket.on('error', () => undefined)
    const stop = (): void => void socket.destroy()
    signal.addEventListener('abort', stop, { once: true })
    socket.on('close', () => signal.removeEventListener('abort', stop))
    const out = frameWriter(socket)
    out.control({ type: 'call', call })
    const frames = readFrames(socket, head)
    const conversation = { socket, out, frames, window: inputWindow(socket) }
    try {
      const lost = new StatusError('InternalError', `the kubelet of node "${nodeName}" hung up`)
      for await (const { channel, data } of iterable(frames)) {
        if (channel !== CHANNEL.control) continue
        const message = readControl(data)
        if (message.type === 'accepted') return conversation
        if (message.type === 'failed') throw StatusError.from(message.status)
      }
      signal.throwIfAborted()
      throw lost
    } catch (error) {
      socket.destroy()
      throw error
    }
  }

  /** Deals with frames until the kubelet says how it ended. */
  const finish = async (
    { frames, socket, window }: Conversation,
    signal: AbortSignal,
    onData: (frame: Frame) => Promise<void> | void,
  ): Promise<number | undefined> => {
    try {
      for await (const frame of iterable(frames)) {
        if (frame.channel !== CHANNEL.control) {
          await onData(frame)
          continue
        }
        const message = readControl(frame.data)
        if (message.type === 'credit') window.grant(message.bytes)
        if (message.type === 'ended') return message.exitCode
        if (message.type === 'failed') throw StatusError.from(message.status)
      }
      signal.throwIfAborted()
      throw new StatusError('InternalError', `the kubelet of node "${nodeName}" hung up`)
    } catch (error) {
      signal.throwIfAborted()
      throw error
    } finally {
      socket.destroy()
    }
  }

  const session = async (
    call: NodeCall & { readonly method: 'exec' | 'attach' },
    streams: SessionStreams,
    signal: AbortSignal,
  ): Promise<number | undefined> => {
    const conversation = await open(call, signal)
    if (streams.resize !== undefined) void sendSizes(streams.resize, conversation.out)
    if (streams.stdin !== undefined) void sendInput(streams.stdin, conversation)
    return finish(conversation, signal, async ({ channel, data }) => {
      const to = channel === CHANNEL.output ? streams.stdout : streams.stderr
      if (to === undefined || to.destroyed || to.writableEnded || data.length === 0) return
      if (!to.write(data)) await roomIn(to)
    })
  }
  const asked = (streams: SessionStreams) => ({
    stdin: streams.stdin !== undefined,
    stdout: streams.stdout !== undefined,
    stderr: streams.stderr !== undefined,
    resize: streams.resize !== undefined,
  })

  return {
    async logs(target, logOptions, signal) {
      const conversation = await open({ method: 'logs', target, options: logOptions }, signal)
      return lines(conversation, signal)
    },
    async exec(target, execOptions, streams, signal) {
      const exitCode = await session(
        { method: 'exec', target, options: execOptions, streams: asked(streams) },
        streams,
        signal,
      )
      return { exitCode: exitCode ?? 0 }
    },
    async attach(target, attachOptions, streams, signal) {
      await session(
        {
          method: 'attach',
          target,
          options: { ...attachOptions, command: [] },
          streams: asked(streams),
        },
        streams,
        signal,
      )
    },
    async portForward(target, port, signal) {
      return tunnel(await open({ method: 'portForward', target, port }, signal))
    },
    page: (path, query) =>
      new Promise((resolve, reject) => {
        const outgoing = request(`${encoded(path)}${query === '' ? '' : `?${query}`}`, {})
        outgoing.on('timeout', () => outgoing.destroy(new Error('no answer in time')))
        outgoing.on('error', (error) => reject(unreachable(error)))
        outgoing.on('response', (response) => {
          const chunks: Buffer[] = []
          let size = 0
          response.on('data', (chunk: Buffer) => {
            size += chunk.length
            if (size > MAX_PAGE_BYTES) response.destroy(new Error('its page is too large'))
            else chunks.push(chunk)
          })
          response.on('error', (error) => reject(unreachable(error)))
          response.on('end', () => {
            const body = Buffer.concat(chunks)
            const status = response.statusCode ?? 500
            const failure = response.headers['x-navarch-status'] === 'true'
            if (failure) reject(StatusError.from(JSON.parse(body.toString('utf8')) as Status))
            else if (status === 404) resolve(undefined)
            else {
              const { 'content-type': contentType = '', location } = response.headers
              const headers = location === undefined ? {} : { headers: { location } }
              resolve({ status, contentType, body, ...headers })
            }
          })
        })
        outgoing.end()
      }),
  }
}

const encoded = (path: string): string =>
  encodeURI(path).replaceAll('?', '%3F').replaceAll('#', '%23')

interface Conversation {
  readonly socket: Duplex
  readonly out: FrameWriter
  readonly frames: AsyncGenerator<Frame, void>
  readonly window: InputWindow
}

interface InputWindow {
  /** Resolves when so many bytes may be sent, or nobody takes them any more. */
  room(bytes: number): Promise<void>
  grant(bytes: number): void
}

function inputWindow(socket: Duplex): InputWindow {
  let left = INPUT_WINDOW_BYTES
  let wake = (): void => undefined
  socket.once('close', () => wake())
  return {
    async room(bytes) {
      left -= bytes
      while (left < 0 && !socket.destroyed)
        await new Promise<void>((resolve) => {
          wake = resolve
        })
    },
    grant(bytes) {
      left += bytes
      wake()
    },
  }
}

const abortReason = ({ reason }: AbortSignal): Error =>
  reason instanceof Error ? reason : new Error('it was aborted')

/** Leaving the loop does not end the generator: the next one goes on where this left off. */
const iterable = (frames: AsyncGenerator<Frame, void>): AsyncIterable<Frame> => ({
  [Symbol.asyncIterator]: () => ({ next: () => frames.next() }),
})

async function* lines(
  { frames, socket }: Conversation,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void> {
  try {
    for await (const { channel, data } of iterable(frames)) {
      if (channel === CHANNEL.output) {
        if (data.length > 0) yield data
        continue
      }
      if (channel !== CHANNEL.control) continue
      const message = readControl(data)
      if (message.type === 'ended') return
      if (message.type === 'failed') throw StatusError.from(message.status)
    }
    if (!signal.aborted) throw new StatusError('InternalError', 'the kubelet hung up')
  } catch (error) {
    if (!signal.aborted) throw error
  } finally {
    socket.destroy()
  }
}

async function sendInput(
  stdin: NonNullable<SessionStreams['stdin']>,
  conversation: Conversation,
): Promise<void> {
  try {
    for await (const chunk of stdin.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      if (conversation.socket.destroyed) return
      await upload(conversation, typeof chunk === 'string' ? Buffer.from(chunk) : chunk)
    }
  } catch {
    // The client went away: for the command that is the end of its input.
  }
  conversation.out.end(CHANNEL.input)
}

async function upload({ out, window }: Conversation, bytes: Buffer): Promise<void> {
  const step = INPUT_WINDOW_BYTES / 4
  for (let at = 0; at < bytes.length; at += step) {
    const part = bytes.subarray(at, at + step)
    await window.room(part.length)
    await out.data(CHANNEL.input, part)
  }
}

async function sendSizes(
  sizes: NonNullable<SessionStreams['resize']>,
  out: FrameWriter,
): Promise<void> {
  try {
    for await (const { width, height } of sizes) out.control({ type: 'resize', width, height })
  } catch {
    // Sizes end with the client.
  }
}

/** Bytes both ways, each with an end of its own. */
function tunnel(conversation: Conversation): Duplex {
  const { socket, out, frames, window } = conversation
  const duplex = new Duplex({
    allowHalfOpen: true,
    read() {
      wake?.()
    },
    write(chunk: Buffer, _encoding, done) {
      void upload(conversation, chunk).finally(() => done())
    },
    final(done) {
      out.end(CHANNEL.input)
      done()
    },
    destroy(error, done) {
      socket.destroy()
      wake?.()
      done(error)
    },
  })
  let wake: (() => void) | undefined
  const wanted = (): Promise<void> =>
    new Promise((resolve) => {
      wake = resolve
    })
  void (async () => {
    try {
      for await (const { channel, data } of iterable(frames)) {
        if (channel === CHANNEL.output) {
          if (data.length === 0) duplex.push(null)
          else if (!duplex.push(data)) await wanted()
        } else if (channel === CHANNEL.control) {
          const message = readControl(data)
          if (message.type === 'credit') window.grant(message.bytes)
          if (message.type === 'failed') throw StatusError.from(message.status)
          if (message.type === 'ended') break
        }
      }
      if (!duplex.readableEnded && !duplex.destroyed) duplex.push(null)
    } catch (error) {
      duplex.destroy(error instanceof Error ? error : new Error(String(error)))
    }
    socket.on('close', () => duplex.destroy())
    if (socket.destroyed) duplex.destroy()
  })()
  return duplex
}
