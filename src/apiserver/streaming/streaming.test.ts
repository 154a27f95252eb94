import assert from 'node:assert/strict'
import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { after, test } from 'node:test'
import { constants, createDeflate, inflateRawSync } from 'node:zlib'
import fc from 'fast-check'
import { WebSocket } from 'ws'
import { duplexPair, realEnv } from '#base'
import { endpointSlices, nodes, pods, services, type Pod } from '#api'
import type { NodeApi } from '#client'
import { StatusError, type KubeObject } from '#machinery'
import { testReader } from '../auth/reader.testing.ts'
import type { Exchange, Reply } from '../exchange.ts'
import type { ConnectTarget } from '../extensions.ts'
import { connectHandlers } from './index.ts'
import { logOptions, whyNoLog } from './log.ts'
import { podAddress, serviceAddress } from './proxy-target.ts'
import { rewriteHtml, rewriteUrl } from './rewrite.ts'
import { adler32, dictionary, headerReader, headerWriter } from './spdy-headers.ts'
import { serveSpdy, type SpdyStream } from './spdy.ts'
import { containerOf } from './target.ts'
import { parseFrame } from './websocket.ts'

const env = realEnv()

let followersThatLeft = 0

/** A kubelet whose commands do what their names say. */
const kubelet: NodeApi = {
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

const read = testReader()
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
const handlers = connectHandlers({
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
const { port } = server.address() as AddressInfo
after(() => void server.close())

interface Talk {
  readonly protocol: string
  readonly messages: readonly Buffer[]
  readonly code: number
}

/** Opens, sends, and collects until the server closes. */
const talk = (
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

const channel = (messages: readonly Buffer[], number: number): string =>
  Buffer.concat(
    messages.filter((data) => data[0] === number).map((data) => data.subarray(1)),
  ).toString()

test('a command talks over the channels, and its exit code comes as a Status', async () => {
  const { protocol, messages, code } = await talk(
    '/pods/web/exec?command=run&command=3&stdout=true&stderr=true',
    ['v5.channel.k8s.io', 'v4.channel.k8s.io'],
  )
  assert.equal(protocol, 'v5.channel.k8s.io')
  assert.deepEqual([...messages[0]!], [1])
  assert.equal(channel(messages, 1), 'out')
  assert.equal(channel(messages, 2), 'err')
  assert.deepEqual(JSON.parse(channel(messages, 3)), {
    metadata: {},
    status: 'Failure',
    message: 'command terminated with non-zero exit code: exit status 3',
    reason: 'NonZeroExitCode',
    details: { causes: [{ reason: 'ExitCode', message: '3' }] },
  })
  assert.equal(code, 1000)
})

test('all that a command wrote arrives before its outcome', async () => {
  const { messages } = await talk('/pods/web/exec?command=flood&stdout=true&stderr=true', [
    'v5.channel.k8s.io',
  ])
  assert.equal(channel(messages, 1).length, 64 * 64 * 1024)
  assert.equal(channel(messages, 2), 'last words')
  assert.equal(messages.at(-1)![0], 3)
})

test('v5 closes standard input alone, and the answer still comes', async () => {
  const { messages } = await talk(
    '/pods/web/exec?command=echo&stdin=true&stdout=true',
    ['v5.channel.k8s.io'],
    (socket) => {
      socket.send(Buffer.from('\0ping '))
      socket.send(Buffer.from('\0pong'))
      socket.send(Buffer.of(255, 0))
    },
  )
  assert.equal(channel(messages, 1), 'ping pong')
  assert.deepEqual(JSON.parse(channel(messages, 3)), { metadata: {}, status: 'Success' })
})

test('the old protocol says nothing about success, and base64 goes as text', async () => {
  const { messages } = await talk('/pods/web/exec?command=run&stdout=1', [
    'base64.channel.k8s.io',
    'channel.k8s.io',
  ])
  assert.deepEqual(messages.map(String), ['1', `1${Buffer.from('out').toString('base64')}`])
})

test('a terminal tells its size', async () => {
  const { messages } = await talk(
    '/pods/web/exec?command=size&stdin=true&stdout=true&tty=true',
    ['v4.channel.k8s.io'],
    (socket) => socket.send(Buffer.from('\u0004{"Width":80,"Height":24}')),
  )
  assert.equal(channel(messages, 1), '80x24')
})

test('a failure that is no exit code is told too', async () => {
  const { messages } = await talk('/pods/web/exec?command=throw&stdout=true', ['v4.channel.k8s.io'])
  const status = JSON.parse(channel(messages, 3)) as { message: string; code: number }
  assert.match(status.message, /error executing command in container: no such container/)
  assert.equal(status.code, 500)
})

test('attach writes what the container writes', async () => {
  const { messages } = await talk('/pods/web/attach', ['v4.channel.k8s.io'])
  assert.equal(channel(messages, 1), 'attached')
})

test('what cannot be opened is refused before the upgrade', async () => {
  const refused = async (path: string, protocols: readonly string[] = ['v4.channel.k8s.io']) =>
    assert.rejects(talk(path, protocols), /Unexpected server response: 4\d\d/)
  await refused('/pods/web/exec?command=run')
  await refused('/pods/web/exec?stdout=true')
  await refused('/pods/gone/exec?command=run&stdout=true')
  await refused('/pods/web/exec?command=run&stdout=true&container=x')
  await refused('/pods/web/exec?command=run&stdout=true', ['v9.channel.k8s.io'])
})

test('logs come plain, and as raw messages over a WebSocket', async () => {
  const { body } = await get('/pods/web/log')
  assert.equal(body, 'hello from c\n')
  const { protocol, messages } = await talk('/pods/web/log', ['binary.k8s.io'])
  assert.equal(protocol, 'binary.k8s.io')
  assert.equal(Buffer.concat([...messages]).toString(), 'hello from c\n')
})

test('a pod on a node that is gone has nobody to ask: 404; a kubelet that does not answer is 500', async () => {
  for (const path of ['log', 'exec?command=run&stdout=true', 'attach?stdout=true']) {
    const { status, body } = await get(`/pods/stranded/${path}`)
    assert.deepEqual([path, status, body], [path, 404, 'nodes "absent" not found'])
  }
  assert.equal((await get('/pods/quiet/log')).status, 500)
  assert.equal((await get('/nodes/absent/proxy/healthz')).status, 404)
})

test('a log that is followed ends when the client leaves', async () => {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/pods/web/log?follow=true`, ['binary.k8s.io'])
  const first = await new Promise<Buffer>((resolve) => socket.once('message', resolve))
  assert.equal(first.toString(), 'hello from c\n')
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
  socket.close()
  await closed
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal(followersThatLeft, 1)
})

test('ports are forwarded over old channels, two a port', async () => {
  const seen = await talk('/pods/web/portforward?ports=80,1', ['v4.channel.k8s.io'], (socket) => {
    socket.on('message', (data: Buffer) => {
      if (data[0] === 0 && data.length > 3) socket.close()
      if (data[0] === 3 && data.length > 3) socket.send(Buffer.from('\0bounce'))
    })
  })
  assert.equal(channel(seen.messages, 0), 'P\0bounce')
  assert.match(channel(seen.messages, 3), /error forwarding port 1 to pod web_shop/)
})

interface Answer {
  readonly status: number
  readonly location: string | undefined
  readonly body: string
}
const get = (path: string, method = 'GET', body = ''): Promise<Answer> =>
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

test('a proxy carries every verb, and points links and redirects back at itself', async () => {
  const backend = createServer((incoming, outgoing) => {
    if (incoming.url === '/page') {
      outgoing.setHeader('content-type', 'text/html')
      outgoing.end(
        '<a href="/rewriteme">x</a><img src="pic.png"><a href=\'http://example.com/\'>y</a>',
      )
    } else if (incoming.url === '/moved') outgoing.writeHead(302, { location: '/elsewhere' }).end()
    else incoming.pipe(outgoing.writeHead(201, { 'x-saw': `${incoming.method} ${incoming.url}` }))
  })
  await new Promise<void>((resolve) => backend.listen(0, '127.0.0.1', resolve))
  const { port: backendPort } = backend.address() as AddressInfo
  // Pods have no loopback addresses: only this network takes the name for one.
  const local = connectHandlers({
    env: {
      ...env,
      net: {
        ...env.net,
        connect: ({ port: at }: never, signal) =>
          env.net.connect({ host: '127.0.0.1', port: at }, signal),
      },
    },
    read,
    nodeApi: () => kubelet,
  })
  const original = handlers['pods/proxy']
  Object.assign(handlers, { 'pods/proxy': local['pods/proxy'] })
  const at = `/pods/http:web:${backendPort}/proxy`
  const seen = await get(`${at}/echo?a=1&b=x%20y`, 'PATCH', 'body')
  assert.deepEqual([seen.status, seen.body], [201, 'body'])
  assert.equal(
    (await get(`${at}/page`)).body,
    `<a href="${at}/rewriteme">x</a><img src="pic.png"><a href='http://example.com/'>y</a>`,
  )
  assert.equal((await get(`${at}/moved`)).location, `${at}/elsewhere`)
  const slashless = await get(`${at}?q=1`)
  assert.deepEqual([slashless.status, slashless.location], [301, `${at}/?q=1`])
  backend.close()
  const gone = await get('/pods/web:1/proxy/')
  assert.equal(gone.status, 503)
  assert.match(gone.body, /^error trying to reach service: /)
  Object.assign(handlers, { 'pods/proxy': original })
})

test('a node answers its own pages', async () => {
  assert.deepEqual(await get('/nodes/n1:10250/proxy/healthz?x=1'), {
    status: 200,
    location: undefined,
    body: 'ok x=1',
  })
  assert.equal((await get('/nodes/n1/proxy/nothing')).status, 404)
  assert.equal((await get('/nodes/n2/proxy/healthz')).status, 404)
})

const pod = (spec: object, metadata: object = {}): Pod =>
  ({ metadata: { name: 'web', ...metadata }, spec }) as unknown as Pod

test('the container that is meant is found, or asked for by name', () => {
  const two = { containers: [{ name: 'a' }, { name: 'b' }] }
  assert.equal(containerOf(pod({ containers: [{ name: 'a' }] }), ''), 'a')
  assert.equal(containerOf(pod(two), 'b'), 'b')
  assert.equal(
    containerOf(pod(two, { annotations: { 'kubectl.kubernetes.io/default-container': 'b' } }), ''),
    'b',
  )
  const message = (spec: object, name = ''): string => {
    try {
      return containerOf(pod(spec), name)
    } catch (error) {
      return (error as Error).message
    }
  }
  assert.equal(
    message({ ...two, initContainers: [{ name: 'i' }] }),
    'a container name must be specified for pod web, choose one of: [a b] or one of the init containers: [i]',
  )
  assert.equal(message(two, 'x'), 'container x is not valid for pod web')
})

test('a log that cannot be read is explained by the status', () => {
  const explain = (status: object, previous = false): string | undefined =>
    whyNoLog(
      { ...pod({}), status: { containerStatuses: [{ name: 'c', ...status }] } } as unknown as Pod,
      { container: 'c', previous },
    )?.message
  assert.equal(
    explain({ state: { waiting: { reason: 'ContainerCreating' } } }),
    'container "c" in pod "web" is waiting to start: ContainerCreating',
  )
  assert.equal(
    explain({ state: { running: {} } }, true),
    'previous terminated container "c" in pod "web" not found',
  )
  assert.equal(explain({ state: { running: {} } }), undefined)
})

test('log options are read and checked', () => {
  const parse = (query: string) => logOptions(new URLSearchParams(query), 'web', (name) => name)
  assert.deepEqual(parse('container=c&follow=true&tailLines=0&timestamps=1'), {
    container: 'c',
    follow: true,
    timestamps: true,
    tailLines: 0,
  })
  assert.throws(
    () => parse('tailLines=-1'),
    /tailLines: Invalid value: -1: must be greater than or equal to 0/,
  )
  assert.throws(() => parse('limitBytes=0'), /limitBytes: Invalid value: 0: must be greater than 0/)
  assert.throws(() => parse('sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z'), /at most one of/)
  assert.throws(() => parse('tailLines=x'), /invalid syntax/)
})

test('a proxy finds the port by number or name, and a ready endpoint', () => {
  const random = { next: () => 0.99 }
  assert.deepEqual(podAddress(read, 'shop', 'https:web:http'), {
    scheme: 'https',
    host: '10.0.0.9',
    port: 80,
  })
  assert.equal(podAddress(read, 'shop', 'web').port, 80)
  assert.throws(() => podAddress(read, 'shop', 'ftp:web:1'), /invalid pod request/)
  read.put(pods, { metadata: { name: 'self', namespace: 'shop' }, status: { podIP: '127.0.0.1' } })
  assert.throws(() => podAddress(read, 'shop', 'self'), /address not allowed/)

  read.put(services, {
    metadata: { name: 'shop', namespace: 'shop' },
    spec: {
      ports: [
        { name: 'http', port: 80 },
        { name: 'metrics', port: 9090 },
      ],
    },
  })
  assert.throws(
    () => serviceAddress(read, random, 'shop', 'shop:http'),
    /no endpoints available for service "shop"/,
  )
  read.put(endpointSlices, {
    metadata: {
      name: 'shop-1',
      namespace: 'shop',
      labels: { 'kubernetes.io/service-name': 'shop' },
    },
    ports: [
      { name: 'http', port: 8080 },
      { name: 'metrics', port: 8081 },
    ],
    endpoints: [
      { addresses: ['10.0.0.1'], conditions: { ready: false } },
      { addresses: ['10.0.0.2'], conditions: { ready: true } },
    ],
  })
  assert.deepEqual(serviceAddress(read, random, 'shop', 'shop:80'), {
    scheme: 'http',
    host: '10.0.0.2',
    port: 8080,
  })
  assert.equal(serviceAddress(read, random, 'shop', 'shop:metrics').port, 8081)
  assert.throws(
    () => serviceAddress(read, random, 'shop', 'shop:1'),
    /no service port "1" found for service "shop"/,
  )
})

test('links are rewritten where they lead to the proxied host', () => {
  const rewriting = { prefix: '/p', target: '10.0.0.1:80', requestHost: 'api:6443' }
  const cases: readonly (readonly [string, string])[] = [
    ['/a/b?c#d', '/p/a/b?c#d'],
    ['http://10.0.0.1:80/x', '/p/x'],
    ['http://elsewhere/x', 'http://elsewhere/x'],
    ['relative/x', 'relative/x'],
    ['#top', '#top'],
    ['mailto:a@b', 'mailto:a@b'],
    ['/p/x', '/p/x'],
    ['//elsewhere/x', '//elsewhere/x'],
  ]
  for (const [from, to] of cases) assert.equal(rewriteUrl(from, rewriting), to)
  assert.equal(
    rewriteHtml(
      '<p title="/x"><A HREF=/y>z</A><script src="/s.js"></script> 1 < 2 </p>',
      rewriting,
    ),
    '<p title="/x"><A HREF="/p/y">z</A><script src="/p/s.js"></script> 1 < 2 </p>',
  )
})

test('the dictionary of header blocks is the one that all others have', () => {
  assert.equal(dictionary.length, 1423)
  assert.equal(adler32(dictionary), 0xe3c6a7c2)
})

/** Compresses as clients do: one stream, flushed after each block. */
async function compressed(blocks: readonly Buffer[]): Promise<readonly Buffer[]> {
  const deflate = createDeflate({ dictionary })
  const made: Buffer[] = []
  for (const block of blocks)
    made.push(
      await new Promise((resolve) => {
        const parts: Buffer[] = []
        const collect = (part: Buffer): void => void parts.push(part)
        deflate.on('data', collect)
        deflate.write(block)
        deflate.flush(constants.Z_SYNC_FLUSH, () => {
          deflate.removeListener('data', collect)
          resolve(Buffer.concat(parts))
        })
      }),
    )
  return made
}

function pairs(headers: Readonly<Record<string, string>>): Buffer {
  const uint32 = (value: number): Buffer => {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32BE(value)
    return bytes
  }
  return Buffer.concat([
    uint32(Object.keys(headers).length),
    ...Object.entries(headers).flatMap((pair) =>
      pair.flatMap((text) => [uint32(Buffer.byteLength(text)), Buffer.from(text)]),
    ),
  ])
}

test('header blocks are read as one stream, and ours can be read by others', async () => {
  const all = Array.from({ length: 50 }, (_, i) => ({
    streamtype: i % 2 ? 'data' : 'error',
    port: '8080',
    requestid: String(i),
    padding: 'x'.repeat(i * 37),
  }))
  const readBlock = headerReader()
  for (const [i, block] of (await compressed(all.map(pairs))).entries())
    assert.deepEqual(readBlock(block), all[i])

  const writeBlock = headerWriter()
  const first = writeBlock({ a: 'b' })
  const second = writeBlock({})
  const plain = inflateRawSync(Buffer.concat([first.subarray(6), second]), {
    dictionary,
    finishFlush: constants.Z_SYNC_FLUSH,
  })
  assert.deepEqual(plain, Buffer.concat([pairs({ a: 'b' }), pairs({})]))
})

test('SPDY streams carry data both ways, whatever the pieces in which it arrives', async () => {
  const [near, far] = duplexPair()
  const opened: SpdyStream[] = []
  serveSpdy(near, (stream) => {
    opened.push(stream)
    stream.pipe(stream)
  })
  const frame = (first: number, flags: number, payload: Buffer): Buffer => {
    const head = Buffer.alloc(8)
    head.writeUInt32BE(first >>> 0)
    head[4] = flags
    head.writeUIntBE(payload.length, 5, 3)
    return Buffer.concat([head, payload])
  }
  const [block] = await compressed([pairs({ streamtype: 'data' })])
  const syn = Buffer.alloc(10)
  syn.writeUInt32BE(1)
  const bytes = Buffer.concat([
    frame(0x80030001, 0, Buffer.concat([syn, block!])),
    frame(1, 0, Buffer.from('hello ')),
    frame(0x80030006, 0, Buffer.of(0, 0, 0, 9)),
    frame(1, 1, Buffer.from('world')),
  ])
  const answers: Buffer[] = []
  far.on('data', (chunk: Buffer) => answers.push(chunk))
  for (const byte of bytes) far.write(Buffer.of(byte))
  await new Promise((resolve) =>
    opened.length > 0
      ? opened[0]!.once('close', resolve)
      : setImmediate(() => opened[0]!.once('close', resolve)),
  )
  let rest = Buffer.concat(answers)
  const seen: string[] = []
  while (rest.length >= 8) {
    const size = 8 + rest.readUIntBE(5, 3)
    const payload = rest.subarray(8, size)
    const first = rest.readUInt32BE(0)
    seen.push(
      first >= 0x80000000
        ? `control ${first & 0xffff}`
        : `data ${payload.toString()}${rest[4] === 1 ? ' end' : ''}`,
    )
    rest = rest.subarray(size)
  }
  assert.deepEqual(
    seen.filter((text) => text.startsWith('control')),
    ['control 2', 'control 6'],
  )
  assert.equal(
    seen
      .filter((text) => text.startsWith('data'))
      .map((text) => text.slice(5))
      .join(''),
    'hello world end',
  )
})

test('a frame is the same however it is cut, and rubbish is refused', () => {
  const masked = (payload: Uint8Array, key: Uint8Array): Buffer => {
    const { length } = payload
    const head =
      length < 126
        ? Buffer.of(0x82, 0x80 | length)
        : Buffer.of(0x82, 0x80 | 126, length >> 8, length & 0xff)
    return Buffer.concat([head, key, Buffer.from(payload.map((byte, i) => byte ^ key[i % 4]!))])
  }
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 300 }),
      fc.uint8Array({ minLength: 4, maxLength: 4 }),
      fc.nat(320),
      (payload, key, cut) => {
        const bytes = masked(payload, key)
        const parsed = parseFrame(bytes)
        assert.ok('frame' in parsed)
        assert.deepEqual(parsed.frame.payload, Buffer.from(payload))
        assert.equal(parsed.size, bytes.length)
        if (cut < bytes.length) {
          const partial = parseFrame(bytes.subarray(0, cut))
          assert.ok('needed' in partial && partial.needed > cut && partial.needed <= bytes.length)
        }
      },
    ),
  )
  assert.throws(() => parseFrame(Buffer.of(0x82, 0x05, 1, 2, 3, 4, 5)), /not masked/)
  assert.throws(() => parseFrame(Buffer.of(0xf2, 0x85)), /reserved/)
})
