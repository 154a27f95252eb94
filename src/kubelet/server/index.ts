/** The kubelet's HTTPS server: what the API server asks of a node that is not in its own process. */
import * as https from 'node:https'
import { PassThrough, Writable, type Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import type { Env } from '#base'
import {
  CHANNEL,
  frameWriter,
  INPUT_WINDOW_BYTES,
  NODE_PATH,
  NODE_PROTOCOL,
  readControl,
  readFrames,
  type FrameWriter,
  type NodeApi,
  type NodeCall,
} from '#client'
import { internalError, StatusError } from '#machinery'

export const KUBELET_PORT = 10_250

/** Whom the kubelet answers: the common name in the API server's client certificate. */
export const API_SERVER_CLIENT = 'kube-apiserver-kubelet-client'

export interface NodeServerOptions {
  readonly host: string
  /** 0 takes a free one. */
  readonly port: number
  readonly nodeApi: NodeApi
  readonly env: Pick<Env, 'clock' | 'log'>
  readonly tls: {
    readonly certificate: string
    readonly key: string
    /** PEM of the authority that signed the API server's certificate. */
    readonly authority: string
  }
}

export interface NodeServer {
  readonly port: number
  /** New connections get this certificate: it was renewed. */
  renew(credential: { readonly certificate: string; readonly key: string }): void
  close(): Promise<void>
}

const MAX_CONNECTIONS = 1000
const CALL_TIMEOUT_MS = 10_000
/** Writing shows that the other side is gone, also while nothing is read from it. */
const PING_MS = 20_000
const STDIN_BUFFER_BYTES = 64 * 1024

/** Resolves when it listens. */
export async function serveNode(options: NodeServerOptions): Promise<NodeServer> {
  const { nodeApi, tls, env } = options
  const log = env.log.for('kubelet')
  const conversations = new Set<Duplex>()
  const secure = (credential: { readonly certificate: string; readonly key: string }) => ({
    cert: credential.certificate,
    key: credential.key,
    ca: tls.authority,
    minVersion: 'TLSv1.2' as const,
  })
  const server = https.createServer(
    { ...secure(tls), requestCert: true, rejectUnauthorized: true, ALPNProtocols: ['http/1.1'] },
    (request, response) => {
      const reply = (status: number, contentType: string, body: Uint8Array | string, own = false) =>
        response
          .writeHead(status, {
            'content-type': contentType,
            ...(own ? { 'x-navarch-status': 'true' } : {}),
          })
          .end(body)
      if (!isApiServer(request.socket as TLSSocket)) {
        reply(403, 'text/plain', 'Forbidden: only the API server is answered\n')
        return
      }
      if (request.method !== 'GET' && request.method !== 'HEAD') {
        reply(405, 'text/plain', 'Method not allowed\n')
        return
      }
      const [path = '/', query = ''] = (request.url ?? '/').split('?', 2)
      nodeApi.page(path, query).then(
        (page) =>
          page === undefined
            ? reply(404, 'text/plain', '404 page not found\n')
            : reply(page.status, page.contentType, page.body),
        (error: unknown) => {
          const { status } = statusOf(error)
          reply(status.code ?? 500, 'application/json', JSON.stringify(status), true)
        },
      )
    },
  )
  server.maxConnections = MAX_CONNECTIONS
  server.on('tlsClientError', (error) => log.debug('A client was refused', { error }))
  server.on('upgrade', (request, socket: Duplex, head) => {
    socket.on('error', () => undefined)
    const refuse = (status: string): void =>
      void socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`)
    if (!isApiServer(request.socket as TLSSocket)) return refuse('403 Forbidden')
    if (request.url !== NODE_PATH || request.headers.upgrade !== NODE_PROTOCOL)
      return refuse('400 Bad Request')
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: ${NODE_PROTOCOL}\r\n\r\n`,
    )
    conversations.add(socket)
    socket.on('close', () => conversations.delete(socket))
    void converse(nodeApi, socket, head, env)
  })
  const port = await new Promise<number>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host: options.host, port: options.port }, () => {
      const address = server.address()
      resolve(typeof address === 'object' && address !== null ? address.port : options.port)
    })
  })
  return {
    port,
    renew: (credential) => server.setSecureContext(secure(credential)),
    close: () =>
      new Promise((resolve) => {
        for (const socket of conversations) socket.destroy()
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

const isApiServer = (socket: TLSSocket): boolean =>
  socket.authorized && socket.getPeerCertificate().subject?.CN === API_SERVER_CLIENT

const statusOf = (error: unknown): StatusError =>
  error instanceof StatusError
    ? error
    : internalError(error instanceof Error ? error.message : String(error))

async function converse(
  nodeApi: NodeApi,
  socket: Duplex,
  head: Uint8Array,
  { clock }: Pick<Env, 'clock'>,
): Promise<void> {
  const out = frameWriter(socket)
  const gone = new AbortController()
  const input = new PassThrough({ highWaterMark: STDIN_BUFFER_BYTES })
  const sizes = sizeQueue()
  let cancelPing = (): void => undefined
  const ping = (): void => {
    cancelPing = clock.schedule(PING_MS, () => {
      out.control({ type: 'ping' })
      ping()
    })
  }
  const left = (): void => {
    gone.abort(new Error('the API server hung up'))
    input.end()
    sizes.end()
  }
  socket.once('close', left)
  const cancelWait = clock.schedule(CALL_TIMEOUT_MS, () => socket.destroy())
  let answered: Promise<void> | undefined
  try {
    for await (const { channel, data } of readFrames(socket, head)) {
      if (channel === CHANNEL.control) {
        const message = readControl(data)
        if (message.type === 'call' && answered === undefined) {
          cancelWait()
          ping()
          answered = answer(nodeApi, message.call, {
            out,
            input,
            sizes: sizes.values,
            signal: gone.signal,
          }).then(() => void socket.end())
        } else if (message.type === 'resize') {
          sizes.push({ width: message.width, height: message.height })
        }
      } else if (channel === CHANNEL.input && answered !== undefined) {
        if (data.length === 0) input.end()
        else if (input.writableLength > INPUT_WINDOW_BYTES) break
        else if (!input.writableEnded)
          input.write(data, () => out.control({ type: 'credit', bytes: data.length }))
      }
    }
  } catch {
    socket.destroy()
  }
  left()
  await answered
  cancelWait()
  cancelPing()
  socket.destroy()
}

interface Caller {
  readonly out: FrameWriter
  readonly input: PassThrough
  readonly sizes: AsyncIterable<TerminalSize>
  readonly signal: AbortSignal
}
interface TerminalSize {
  readonly width: number
  readonly height: number
}

/** Never rejects: how it ended is the last frame. */
async function answer(nodeApi: NodeApi, call: NodeCall, caller: Caller): Promise<void> {
  const { out, input, signal } = caller
  try {
    switch (call.method) {
      case 'logs': {
        const chunks = await nodeApi.logs(call.target, call.options, signal)
        out.control({ type: 'accepted' })
        for await (const chunk of chunks) {
          if (signal.aborted) return
          await out.data(CHANNEL.output, chunk)
        }
        out.control({ type: 'ended' })
        return
      }
      case 'exec':
      case 'attach': {
        // Taken at once: what fails after this is told at the end, as it is in one process.
        out.control({ type: 'accepted' })
        const { stdin, stdout, stderr, resize } = call.streams
        const streams = {
          ...(stdin ? { stdin: input } : {}),
          ...(stdout ? { stdout: channelOf(out, CHANNEL.output) } : {}),
          ...(stderr ? { stderr: channelOf(out, CHANNEL.errors) } : {}),
          ...(resize ? { resize: caller.sizes } : {}),
        }
        if (!stdin) input.resume()
        const ended =
          call.method === 'exec'
            ? await nodeApi.exec(call.target, call.options, streams, signal)
            : await nodeApi.attach(call.target, call.options, streams, signal)
        await Promise.all([settled(streams.stdout), settled(streams.stderr)])
        out.control({ type: 'ended', ...(ended === undefined ? {} : ended) })
        return
      }
      case 'portForward': {
        const stream = await nodeApi.portForward(call.target, call.port, signal)
        stream.on('error', () => stream.destroy())
        signal.addEventListener('abort', () => stream.destroy(), { once: true })
        if (signal.aborted) stream.destroy()
        out.control({ type: 'accepted' })
        input.pipe(stream)
        for await (const chunk of stream.iterator({
          destroyOnReturn: false,
        }) as AsyncIterable<Buffer>)
          await out.data(CHANNEL.output, chunk)
        out.end(CHANNEL.output)
        // The other half may go on after the pod has said all it had to say.
        if (!stream.destroyed && !stream.writableFinished)
          await new Promise<void>((resolve) => {
            stream.once('finish', resolve)
            stream.once('close', resolve)
          })
        out.control({ type: 'ended' })
        stream.destroy()
      }
    }
  } catch (error) {
    if (!signal.aborted) out.control({ type: 'failed', status: statusOf(error).status })
  } finally {
    input.resume()
  }
}

const channelOf = (out: FrameWriter, channel: number): Writable =>
  new Writable({
    write(chunk: Buffer, _encoding, done) {
      void out.data(channel, chunk).finally(() => done())
    },
  })

/** Until all that was written is on its way. */
const settled = (stream: Writable | undefined): Promise<void> =>
  new Promise((resolve) => {
    if (stream === undefined || stream.destroyed) resolve()
    else if (stream.writableFinished) resolve()
    else {
      stream.once('finish', resolve)
      stream.end()
    }
  })

/** Only the newest size matters. */
function sizeQueue(): {
  push(size: TerminalSize): void
  end(): void
  readonly values: AsyncIterable<TerminalSize>
} {
  let latest: TerminalSize | undefined
  let ended = false
  let wake = (): void => undefined
  async function* values(): AsyncGenerator<TerminalSize, void> {
    for (;;) {
      if (latest !== undefined) {
        const size = latest
        latest = undefined
        yield size
      } else if (ended) return
      else
        await new Promise<void>((resolve) => {
          wake = resolve
        })
    }
  }
  return {
    push(size) {
      latest = size
      wake()
    },
    end() {
      ended = true
      wake()
    },
    values: values(),
  }
}
