/** The kubelet's HTTPS server: its pages, and the logs, commands and ports of its pods, for whoever may have them. */
import { ServerResponse, type IncomingMessage } from 'node:http'
import * as https from 'node:https'
import type { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import type { Env } from '#base'
import type { NodeApi, UpgradeRequest } from '#client'
import { StatusError } from '#machinery'
import { AuthorizationError, type NodeAccess, type NodeUser } from './access.ts'
import { nodeAttributes } from './attributes.ts'
import { converse, readLog, Refusal, run } from './conversations.ts'
import { allows, podRoute } from './routes.ts'

/** Where kubelets listen. */
export const KUBELET_PORT = 10_250

/** The common name in the API server's client certificate: it has judged already who may ask what. */
export const API_SERVER_CLIENT = 'kube-apiserver-kubelet-client'

/** Where the node's server listens, and whom it lets in. */
export interface NodeServerOptions {
  readonly host: string
  /** 0 takes a free one. */
  readonly port: number
  readonly nodeApi: NodeApi
  readonly access: NodeAccess
  readonly env: Pick<Env, 'clock' | 'log'>
  readonly tls: {
    readonly certificate: string
    readonly key: string
    /** PEM of the authority that signed the certificates of clients. */
    readonly authority: string
  }
}

/** A server that listens. */
export interface NodeServer {
  readonly port: number
  /** New connections get this certificate: it was renewed. */
  renew(credential: { readonly certificate: string; readonly key: string }): void
  close(): Promise<void>
}

interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array | string | AsyncIterable<Uint8Array>
}

const MAX_CONNECTIONS = 1000
/** Who asks every half minute keeps its connection. */
const IDLE_MS = 90_000
/** Who vanished is noticed while nothing is said. */
const KEEP_ALIVE_MS = 30_000
const AUTHENTICATED = 'system:authenticated'

/** Resolves when it listens. */
export async function serveNode(options: NodeServerOptions): Promise<NodeServer> {
  const { tls, env } = options
  const log = env.log.for('kubelet')
  const conversations = new Set<Duplex>()
  const secure = (credential: { readonly certificate: string; readonly key: string }) => ({
    cert: credential.certificate,
    key: credential.key,
    ca: tls.authority,
    minVersion: 'TLSv1.2' as const,
  })
  const server = https.createServer(
    // Who shows no certificate may have a token.
    { ...secure(tls), requestCert: true, rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] },
    (request, response) => {
      request.resume()
      request.on('error', () => undefined)
      response.on('error', () => undefined)
      const left = new AbortController()
      response.on('close', () => left.abort(new Error('the client left')))
      void answer(options, request, { signal: left.signal }).then((found) => send(response, found))
    },
  )
  server.maxConnections = MAX_CONNECTIONS
  server.keepAliveTimeout = IDLE_MS
  server.on('tlsClientError', (error) => log.debug('A client was refused', { error }))
  server.on('secureConnection', (socket) => socket.setKeepAlive(true, KEEP_ALIVE_MS))
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const response = new ServerResponse(request)
    response.shouldKeepAlive = false
    response.assignSocket(socket as TLSSocket)
    response.on('finish', () => socket.end())
    socket.on('error', () => undefined)
    conversations.add(socket)
    const left = new AbortController()
    socket.on('close', () => {
      conversations.delete(socket)
      left.abort(new Error('the client left'))
    })
    let isUpgraded = false
    const upgrade = async (headers: Readonly<Record<string, string>>): Promise<Duplex> => {
      isUpgraded = true
      response.detachSocket(socket as TLSSocket)
      const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
      socket.write(`HTTP/1.1 101 Switching Protocols\r\n${lines.join('')}\r\n`)
      if (head.length > 0) socket.unshift(head)
      return socket
    }
    void answer(options, request, { signal: left.signal, upgrade }).then((found) =>
      isUpgraded ? undefined : send(response, found),
    )
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

interface Around extends Pick<UpgradeRequest, 'upgrade'> {
  /** Aborts when the client is gone. */
  readonly signal: AbortSignal
}

const UPGRADED: Answer = { status: 101, headers: {}, body: '' }

/** Never rejects. */
async function answer(
  { nodeApi, access, env }: NodeServerOptions,
  request: IncomingMessage,
  { signal, upgrade }: Around,
): Promise<Answer> {
  const { method = 'GET' } = request
  const url = request.url ?? '/'
  const mark = url.indexOf('?')
  const path = decoded(mark < 0 ? url : url.slice(0, mark))
  const query = mark < 0 ? '' : url.slice(mark + 1)
  try {
    const user = certified(request) ?? (await bearer(access, request, env))
    if (user === undefined) return text(401, 'Unauthorized')
    const refusal = await refusalOf(access, user, { method, path })
    if (refusal !== undefined) return refusal
    const route = podRoute(path)
    if (route !== undefined) {
      if (!allows(route, method)) return text(405, '405: Method Not Allowed')
      const asked = new URLSearchParams(query)
      if (route.kind === 'containerLogs') {
        const body = await readLog(nodeApi, route, asked, signal)
        return { status: 200, headers: { 'content-type': 'text/plain' }, body }
      }
      if (route.kind === 'run') {
        const body = await run(nodeApi, route, asked, signal)
        return { status: 200, headers: { 'content-type': 'application/json' }, body }
      }
      const headers = request.headers as UpgradeRequest['headers']
      await converse(
        nodeApi,
        route,
        { method, query: asked, headers, ...(upgrade === undefined ? {} : { upgrade }) },
        env.clock,
      )
      return UPGRADED
    }
    if (method !== 'GET' && method !== 'HEAD') return text(405, '405: Method Not Allowed')
    const page = await nodeApi.page(path, query)
    if (page === undefined) return text(404, '404 page not found\n')
    const { status, contentType, body, headers } = page
    return { status, headers: { ...headers, 'content-type': contentType }, body }
  } catch (error) {
    if (!signal.aborted) env.log.for('kubelet').debug('A request failed', { path, error })
    return text(codeOf(error), wordsOf(error))
  }
}

async function send(response: ServerResponse, { status, headers, body }: Answer): Promise<void> {
  if (response.destroyed) return
  if (typeof body === 'string' || body instanceof Uint8Array) {
    response.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(body) }).end(body)
    return
  }
  response.writeHead(status, headers)
  response.flushHeaders()
  try {
    for await (const chunk of body) {
      if (response.destroyed) return
      if (!response.write(chunk)) await drained(response)
    }
    response.end()
  } catch {
    // An answer that is cut off says that it is not whole.
    response.destroy()
  }
}

const drained = (response: ServerResponse): Promise<void> =>
  new Promise((resolve) => {
    const go = (): void => {
      response.off('drain', go)
      response.off('close', go)
      resolve()
    }
    response.once('drain', go)
    response.once('close', go)
  })

const codeOf = (error: unknown): number =>
  error instanceof Refusal || error instanceof StatusError ? error.code : 500

/** The API server puts what fails here into a frame of its own. */
const wordsOf = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).replace(
    /^Internal error occurred: (unable to upgrade connection: )?/,
    '',
  )

const text = (status: number, body: string): Answer => ({
  status,
  headers: { 'content-type': 'text/plain; charset=utf-8', 'x-content-type-options': 'nosniff' },
  body,
})

/** Judged and answered by what the path says in plain characters: `/%70ods` are the pods too. */
function decoded(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    return path
  }
}

/** Whom the client's certificate names, when the cluster's authority has signed it. */
function certified({ socket }: IncomingMessage): NodeUser | undefined {
  const { authorized, getPeerCertificate } = socket as TLSSocket
  if (!authorized) return undefined
  const subject: Readonly<Record<string, string | string[] | undefined>> =
    getPeerCertificate.call(socket)?.subject ?? {}
  const [name = ''] = [subject['CN'] ?? []].flat()
  if (name === '') return undefined
  return { name, groups: [...[subject['O'] ?? []].flat(), AUTHENTICATED] }
}

async function bearer(
  access: NodeAccess,
  { headers }: IncomingMessage,
  { log }: Pick<Env, 'log'>,
): Promise<NodeUser | undefined> {
  const token = /^bearer +(\S+)$/i.exec((headers.authorization ?? '').trim())?.[1]
  if (token === undefined) return undefined
  return access.authenticate(token).catch((error: unknown) => {
    log.for('kubelet').warn('Cannot find out whose token it is', { error })
    return undefined
  })
}

async function refusalOf(
  access: NodeAccess,
  user: NodeUser,
  { method, path }: { readonly method: string; readonly path: string },
): Promise<Answer | undefined> {
  if (user.name === API_SERVER_CLIENT) return undefined
  const attributes = nodeAttributes(method, path)
  const { verb, subresources } = attributes
  try {
    if (await access.authorize(user, attributes)) return undefined
  } catch (error) {
    if (error instanceof AuthorizationError) return text(500, error.message)
    throw error
  }
  return text(
    403,
    `Forbidden (user=${user.name}, verb=${verb}, resource=nodes, subresource(s)=[${subresources.join(' ')}])\n`,
  )
}
