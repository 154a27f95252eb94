/** The kubelet's HTTPS server: its pages for whoever may see them, and what the API server asks of the node. */
import type { IncomingMessage } from 'node:http'
import * as https from 'node:https'
import type { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import type { Env } from '#base'
import { NODE_PATH, NODE_PROTOCOL, type NodeApi } from '#client'
import { AuthorizationError, type NodeAccess, type NodeUser } from './access.ts'
import { nodeAttributes } from './attributes.ts'
import { converse, statusOf } from './conversation.ts'

export const KUBELET_PORT = 10_250

/** The common name in the API server's client certificate: it has judged already who may ask what. */
export const API_SERVER_CLIENT = 'kube-apiserver-kubelet-client'

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

export interface NodeServer {
  readonly port: number
  /** New connections get this certificate: it was renewed. */
  renew(credential: { readonly certificate: string; readonly key: string }): void
  close(): Promise<void>
}

interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array | string
}

const MAX_CONNECTIONS = 1000
/** Who asks every half minute keeps its connection. */
const IDLE_MS = 90_000
const AUTHENTICATED = 'system:authenticated'

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
    // Who shows no certificate may have a token.
    { ...secure(tls), requestCert: true, rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] },
    (request, response) => {
      request.resume()
      void answer(options, request).then(({ status, headers, body }) =>
        response
          .writeHead(status, { ...headers, 'content-length': Buffer.byteLength(body) })
          .end(body),
      )
    },
  )
  server.maxConnections = MAX_CONNECTIONS
  server.keepAliveTimeout = IDLE_MS
  server.on('tlsClientError', (error) => log.debug('A client was refused', { error }))
  server.on('upgrade', (request, socket: Duplex, head) => {
    socket.on('error', () => undefined)
    const refuse = (status: string): void =>
      void socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`)
    if (certified(request)?.name !== API_SERVER_CLIENT) return refuse('403 Forbidden')
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

/** Never rejects. */
async function answer(
  { nodeApi, access, env }: NodeServerOptions,
  request: IncomingMessage,
): Promise<Answer> {
  const { method = 'GET' } = request
  const [asked = '/', query = ''] = (request.url ?? '/').split('?', 2)
  const path = decoded(asked)
  try {
    const user = certified(request) ?? (await bearer(access, request, env))
    if (user === undefined) return text(401, 'Unauthorized')
    const refusal = await refusalOf(access, user, { method, path })
    if (refusal !== undefined) return refusal
    if (method !== 'GET' && method !== 'HEAD') return text(405, '405: Method Not Allowed')
    const page = await nodeApi.page(path, query)
    if (page === undefined) return text(404, '404 page not found\n')
    const { status, contentType, body, headers } = page
    return { status, headers: { ...headers, 'content-type': contentType }, body }
  } catch (error) {
    const { status } = statusOf(error)
    return {
      status: status.code ?? 500,
      headers: { 'content-type': 'application/json', 'x-navarch-status': 'true' },
      body: JSON.stringify(status),
    }
  }
}

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
