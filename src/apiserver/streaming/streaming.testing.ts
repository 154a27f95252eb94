/** A server with the streaming endpoints before a kubelet that a test scripts. */
import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { after } from 'node:test'
import { WebSocket } from 'ws'
import { nodes, pods, type Pod } from '#api'
import { duplexPair, realEnv } from '#base'
import type { NodeApi } from '#client'
import { StatusError, type KubeObject } from '#machinery'
import { testReader } from '../auth/reader.testing.ts'
import type { Exchange, Reply } from '../exchange.ts'
import type { ConnectTarget } from '../extensions.ts'
import { connectHandlers } from './index.ts'

export const env = realEnv()

export let followersThatLeft = 0

/** A kubelet whose commands do what their names say. */
export const kubelet: NodeApi = {
  async logs(_target, { follow, container }, signal) {
    async function* lines(): AsyncGenerator<Uint8Array, void, undefined> {
      yield Buffer.from(`hello from ${container}\n`)
      if (follow) await env.clock.sleep(60_000, signal).catch(() => followersThatLeft++)
    }
    return lines()
  },
  async exec(_target, { command }, { stdin, stdout, stderr, resize }) {
    const [name, argument] = command
    if (name === 'echo') for await (const chunk of stdin ?? []) stdout?.write(chunk)
    else if (name === 'size')
      for await (const { width, height } of resize ?? []) {
        stdout?.write(`${width}x${height}`)
        break
      }
    else if (name === 'throw') throw new Error('no such container')
    else if (name === 'flood') {
      for (let i = 0; i < 64; i++) stdout?.write(Buffer.alloc(64 * 1024, 'x'))
      stderr?.write('last words')
    } else {
      stdout?.write('out')
      stderr?.write('err')
    }
    return { exitCode: Number(argument ?? 0) }
  },
  attach: async (_target, _options, { stdout }) => void stdout?.write('attached'),
  async portForward(_target, port) {
    if (port === 1) throw new Error('connection refused')
    const [near, far] = duplexPair()
    far.pipe(far)
    return near
  },
  page: async (path, query) =>
    path === '/healthz'
      ? { status: 200, contentType: 'text/plain', body: Buffer.from(`ok ${query}`) }
      : undefined,
}

export const read = testReader()

const web = read.put(pods, {
  metadata: { name: 'web', namespace: 'shop' },
  spec: {
    nodeName: 'n1',
    containers: [{ name: 'c', ports: [{ name: 'http', containerPort: 80 }] }],
  },
  status: { podIP: '10.0.0.9' },
})
read.put(nodes, { metadata: { name: 'n1' } })
read.put(nodes, { metadata: { name: 'silent' } })

export const handlers = connectHandlers({
  env,
  read,
  nodeApi: (node) => (node === 'n1' ? kubelet : undefined),
})

const onNode = (nodeName: string): KubeObject =>
  ({ ...web, spec: { ...web.spec, nodeName } }) as unknown as KubeObject

/** Pods whose kubelets cannot be asked. */
const podOn: Readonly<Record<string, KubeObject>> = {
  stranded: onNode('absent'),
  quiet: onNode('silent'),
}

/** `/pods/web/exec?…` on a plain server. */
async function answer(exchange: Exchange): Promise<Reply> {
  const [, resource = '', name = '', subresource = '', ...rest] = exchange.path.split('/')
  const target: ConnectTarget = {
    definition: {} as ConnectTarget['definition'],
    namespace: 'shop',
    name,
    subresource,
    rest: rest.length === 0 ? '' : `/${rest.join('/')}`,
    object: name === 'web' ? (web as KubeObject) : podOn[name],
  }
  try {
    return await handlers[`${resource}/${subresource}`]!(exchange, target)
  } catch (error) {
    if (!(error instanceof StatusError)) throw error
    return { status: error.code, headers: {}, body: Buffer.from(error.message) }
  }
}

const exchangeOf = (
  incoming: IncomingMessage,
  connection: Duplex | ServerResponse,
  upgrade?: Exchange['upgrade'],
): Exchange => {
  const url = new URL(incoming.url ?? '/', 'http://x')
  const stop = new AbortController()
  connection.on('close', () => stop.abort())
  return {
    method: incoming.method ?? 'GET',
    path: decodeURIComponent(url.pathname),
    query: url.searchParams,
    headers: incoming.headers as Exchange['headers'],
    body: async () => new Uint8Array(),
    stream: () => incoming,
    remoteAddress: '127.0.0.1',
    signal: stop.signal,
    ...(upgrade === undefined ? {} : { upgrade }),
    id: '1',
    warnings: [],
  }
}

const server = createServer((incoming, outgoing) => {
  void answer(exchangeOf(incoming, outgoing)).then(async ({ status, headers, body }) => {
    outgoing.writeHead(status, headers as Record<string, string>)
    for await (const chunk of body instanceof Uint8Array ? [body] : (body ?? []))
      outgoing.write(chunk)
    outgoing.end()
  })
})
server.on('upgrade', (incoming, socket: Duplex) => {
  const exchange = exchangeOf(incoming, socket, async (headers) => {
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
    socket.write(`HTTP/1.1 101 Switching Protocols\r\n${lines.join('')}\r\n`)
    return socket
  })
  void answer(exchange).then(({ upgraded, status, body }) => {
    if (upgraded) return
    socket.write(`HTTP/1.1 ${status} No\r\nconnection: close\r\n\r\n`)
    socket.end(body as Uint8Array)
  })
})
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))

export const { port } = server.address() as AddressInfo

after(() => void server.close())

interface Talk {
  readonly protocol: string
  readonly messages: readonly Buffer[]
  readonly code: number
}

/** Opens, sends, and collects until the server closes. */
export const talk = (
  path: string,
  protocols: readonly string[],
  send: (socket: WebSocket) => void = () => undefined,
): Promise<Talk> =>
  new Promise((resolve, reject) => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, [...protocols])
    const messages: Buffer[] = []
    socket.on('open', () => send(socket))
    socket.on('message', (data: Buffer) => messages.push(data))
    socket.on('close', (code) => resolve({ protocol: socket.protocol, messages, code }))
    socket.on('error', reject)
  })

export const channel = (messages: readonly Buffer[], number: number): string =>
  Buffer.concat(
    messages.filter((data) => data[0] === number).map((data) => data.subarray(1)),
  ).toString()

interface Answer {
  readonly status: number
  readonly location: string | undefined
  readonly body: string
}

export const get = (path: string, method = 'GET', body = ''): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const asked = request({ host: '127.0.0.1', port, path, method }, (response) => {
      let text = ''
      response.on('data', (chunk: Buffer) => (text += chunk.toString()))
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          location: response.headers.location,
          body: text,
        }),
      )
    })
    asked.on('error', reject)
    asked.end(body)
  })

export const pod = (spec: object, metadata: object = {}): Pod =>
  ({ metadata: { name: 'web', ...metadata }, spec }) as unknown as Pod
