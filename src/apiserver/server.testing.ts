/** A server over a memory store, for tests: everybody may do everything, unless told otherwise. */
import { definitions, typeTable } from '#api'
import { virtualEnv, type VirtualEnv } from '#base'
import type { Transport } from '#client'
import type { JsonObject } from '#machinery'
import { createMemoryStorage, type Storage } from '#storage'
import { createApiServer } from './create-server.ts'
import type { Exchange } from './exchange.ts'
import type { Extensions } from './extensions.ts'
import type { ServerInside } from './inside.ts'
import type { ApiServer, ApiServerOptions } from './server.ts'

export const ADMIN = { name: 'admin', groups: ['system:masters', 'system:authenticated'] }

const allowAll: Pick<Extensions, 'authenticator' | 'authorizer' | 'admission'> = {
  authenticator: { authenticate: async () => ({ user: ADMIN }) },
  authorizer: { authorize: async () => ({ verdict: 'allow', reason: '' }) },
  admission: [],
}

export interface TestServer {
  readonly server: ApiServer
  readonly storage: Storage
  readonly env: VirtualEnv
  readonly api: Transport
}

export async function testServer(
  options: Partial<Omit<ApiServerOptions, 'extend'>> & {
    readonly extensions?: Partial<Extensions> | ((inside: ServerInside) => Partial<Extensions>)
  } = {},
): Promise<TestServer> {
  const env = virtualEnv()
  const { extensions, ...more } = options
  const storage = options.storage ?? createMemoryStorage(env)
  const server = createApiServer({
    env,
    definitions,
    types: typeTable,
    storage,
    freeze: true,
    extend: (inside) => ({
      ...allowAll,
      ...(typeof extensions === 'function' ? extensions(inside) : extensions),
    }),
    ...more,
  })
  await server.ready
  return { server, storage, env, api: server.transport(ADMIN) }
}

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | readonly string[]>>
  readonly text: string
  /** The body as JSON. */
  readonly json: JsonObject
}

/** A request as a socket would bring it: bytes in, bytes out. */
export async function send(
  { handler }: Pick<ApiServer, 'handler'>,
  line: string,
  body?: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  const reply = await handler(exchangeFor(line, body, headers))
  const chunks: Uint8Array[] = []
  if (reply.body instanceof Uint8Array) chunks.push(reply.body)
  else if (reply.body !== undefined) for await (const chunk of reply.body) chunks.push(chunk)
  const text = Buffer.concat(chunks).toString()
  return {
    status: reply.status,
    headers: reply.headers,
    text,
    get json() {
      return JSON.parse(text) as JsonObject
    },
  }
}

export function exchangeFor(
  line: string,
  body?: unknown,
  headers: Readonly<Record<string, string>> = {},
  signal: AbortSignal = new AbortController().signal,
): Exchange {
  const [method = '', url = ''] = line.split(' ')
  const [path = '', query = ''] = url.split('?')
  const bytes =
    body === undefined
      ? new Uint8Array()
      : body instanceof Uint8Array
        ? body
        : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body))
  return {
    method,
    path,
    query: new URLSearchParams(query),
    headers: { 'user-agent': 'tester/1.0', 'content-type': 'application/json', ...headers },
    body: async () => bytes,
    remoteAddress: '127.0.0.1',
    signal,
    id: 'test',
    warnings: [],
  }
}

/** The first events of a watch that a socket would see. */
export async function watchLines(
  { handler }: Pick<ApiServer, 'handler'>,
  url: string,
  count: number,
  headers: Readonly<Record<string, string>> = {},
): Promise<readonly { readonly type: string; readonly object: JsonObject }[]> {
  const stop = new AbortController()
  const reply = await handler(exchangeFor(`GET ${url}`, undefined, headers, stop.signal))
  if (reply.body === undefined || reply.body instanceof Uint8Array)
    throw new Error(
      `the watch answered ${reply.status} at once: ${Buffer.from(reply.body ?? []).toString()}`,
    )
  let text = ''
  for await (const chunk of reply.body) {
    text += Buffer.from(chunk).toString()
    if (text.split('\n').length > count) break
  }
  stop.abort()
  return text
    .split('\n')
    .slice(0, count)
    .map((line) => JSON.parse(line) as { type: string; object: JsonObject })
}
