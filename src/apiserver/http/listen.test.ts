/** Over real sockets: what only they can show. */
import assert from 'node:assert/strict'
import { once as event } from 'node:events'
import { connect as connectHttp2, constants, type ClientHttp2Session } from 'node:http2'
import { request as requestHttps } from 'node:https'
import { Readable } from 'node:stream'
import { after, before, test } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { gunzipSync } from 'node:zlib'
import { realEnv, virtualEnv } from '#base'
import type { JsonObject } from '#machinery'
import { ensurePki, type Pki } from '../certificates/index.ts'
import type { Exchange, Handler } from '../exchange.ts'
import { listen } from './listen.ts'
import { MAX_BODY_BYTES } from './request.ts'
import { ADMIN, testServer, type TestServer } from '../server.testing.ts'
import type { Listening } from './listening.ts'

const env = realEnv()
let pki: Pki
let stranger: Pki
let t: TestServer
let open: Listening
let last: Exchange | undefined

const tls = () => ({
  certificate: pki.server.certificate,
  key: pki.server.key,
  clientAuthorities: [pki.authority.certificate],
})

before(async () => {
  pki = await ensurePki({ ...virtualEnv(), clock: env.clock, random: env.random }, '/pki')
  stranger = await ensurePki({ ...virtualEnv(), clock: env.clock, random: env.random }, '/pki')
  t = await testServer({
    env,
    extensions: {
      authenticator: {
        async authenticate(exchange) {
          last = exchange
          return { user: ADMIN }
        },
      },
      pages: {
        async '/echo'(exchange) {
          const socket = await exchange.upgrade?.({ Connection: 'Upgrade', Upgrade: 'echo' })
          socket?.pipe(socket)
          return { status: 101, headers: {}, upgraded: true }
        },
        // What another server answered is handed on as a stream.
        '/streamed': async () => ({
          status: 200,
          headers: {},
          body: Readable.from([Buffer.from('one '), Buffer.from('two')]),
        }),
      },
    },
  })
  open = await t.server.listen({ host: '127.0.0.1', port: 0, tls: tls() })
})
after(async () => {
  await t.server.close()
})

interface Got {
  readonly status: number
  readonly headers: Readonly<Record<string, unknown>>
  readonly body: Buffer
}

const http1 = (
  method: string,
  path: string,
  {
    body,
    headers = {},
    credential,
  }: { body?: Buffer; headers?: object; credential?: { certificate: string; key: string } } = {},
): Promise<Got> =>
  new Promise((resolve, reject) => {
    const request = requestHttps(
      {
        host: '127.0.0.1',
        port: open.port,
        method,
        path,
        ca: pki.authority.certificate,
        agent: false,
        headers: { 'content-type': 'application/json', ...headers },
        ...(credential === undefined ? {} : { cert: credential.certificate, key: credential.key }),
      },
      (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: Buffer.concat(chunks),
          }),
        )
        response.on('error', reject)
      },
    )
    request.on('error', reject)
    request.end(body)
  })

const http2Session = (port = open.port): ClientHttp2Session =>
  connectHttp2(`https://127.0.0.1:${port}`, { ca: pki.authority.certificate })

const http2 = (
  session: ClientHttp2Session,
  method: string,
  path: string,
  body?: Buffer,
  more: Readonly<Record<string, string[]>> = {},
): Promise<Got> =>
  new Promise((resolve, reject) => {
    const stream = session.request({
      ':method': method,
      ':path': path,
      'content-type': 'application/json',
      ...more,
    })
    let headers: Readonly<Record<string, unknown>> = {}
    const chunks: Buffer[] = []
    stream.on('response', (got) => (headers = got))
    stream.on('data', (chunk: Buffer) => chunks.push(chunk))
    stream.on('end', () =>
      resolve({ status: Number(headers[':status']), headers, body: Buffer.concat(chunks) }),
    )
    stream.on('error', reject)
    stream.end(body)
  })

const MAPS = '/api/v1/namespaces/shop/configmaps'
const map = (name: string, value = 'x'): Buffer =>
  Buffer.from(JSON.stringify({ metadata: { name }, data: { value } }))
const json = ({ body }: Got): JsonObject => JSON.parse(body.toString()) as JsonObject

test('one port speaks both protocols', async () => {
  const one = await http1('GET', '/version')
  assert.equal(json(one)['minor'], '36')
  const session = http2Session()
  const two = await http2(session, 'GET', '/version')
  assert.equal(json(two)['minor'], '36')
  assert.equal(two.headers['connection'], undefined)
  session.close()
})

test('the command of an exec may be as long as a program takes', async () => {
  const path = (length: number) => `/version?command=${'a'.repeat(length)}`
  assert.equal((await http1('GET', path(500_000))).status, 200)
  assert.equal(last?.query.get('command')?.length, 500_000)
  // The library for HTTP/2 takes no more than 64 KiB for one field, and nobody sends an exec that way.
  const session = http2Session()
  assert.equal((await http2(session, 'GET', path(50_000))).status, 200)
  assert.equal(last?.query.get('command')?.length, 50_000)
  session.close()
})

test('whom one acts as may have commas and letters of any language, in both protocols', async () => {
  const headers = {
    'Impersonate-User': [Buffer.from('jörg').toString('latin1')],
    'Impersonate-Group': ['b', ',,a', 'c, d'],
    'Impersonate-Extra-k%2fw%zz': ['v,w'],
  }
  const check = (): void => {
    const { name, groups, extra } = last?.user ?? {}
    assert.equal(name, 'jörg')
    assert.deepEqual(groups, ['b', ',,a', 'c, d', 'system:authenticated'])
    assert.deepEqual(extra, { 'k%2fw%zz': ['v,w'] })
  }
  const session = http2Session()
  assert.equal((await http1('GET', '/version', { headers })).status, 200)
  check()
  assert.equal((await http2(session, 'GET', '/version', undefined, headers)).status, 200)
  check()
  session.close()
})

test('a warning is told in any language, in both protocols', async () => {
  const body = (name: string) => Buffer.from(JSON.stringify({ metadata: { name }, 日本: 1 }))
  const session = http2Session()
  for (const got of [
    await http1('POST', MAPS, { body: body('warned-1') }),
    await http2(session, 'POST', MAPS, body('warned-2')),
  ]) {
    assert.equal(got.status, 201)
    const text = Buffer.from(String(got.headers['warning']), 'latin1').toString('utf8')
    assert.equal(text, '299 - "unknown field \\"日本\\""')
  }
  session.close()
})

test('bodies arrive, answers have a length, HEAD has none', async () => {
  const session = http2Session()
  const made = await http2(session, 'POST', MAPS, map('one'))
  assert.equal(made.status, 201)
  assert.equal(Number(made.headers['content-length']), made.body.length)
  const head = await http1('HEAD', '/healthz')
  assert.equal(head.status, 200)
  assert.equal(head.body.length, 0)
  session.close()
})

test('an answer that is a stream of Node arrives whole, in both protocols', async () => {
  assert.equal((await http1('GET', '/streamed')).body.toString(), 'one two')
  const session = http2Session()
  assert.equal((await http2(session, 'GET', '/streamed')).body.toString(), 'one two')
  session.close()
})

test('a body beyond 3 MiB is 413, whether it says so or not', async () => {
  const large = Buffer.alloc(MAX_BODY_BYTES + 1, 0x20)
  const said = await http1('POST', MAPS, { body: large })
  assert.equal(said.status, 413)
  assert.equal(json(said)['reason'], 'RequestEntityTooLarge')
  const session = http2Session()
  const streamed = await http2(session, 'POST', MAPS, large)
  assert.equal(streamed.status, 413)
  session.close()
})

test('large answers are compressed for those who ask', async () => {
  for (let i = 0; i < 4; i++)
    await http1('POST', MAPS, { body: map(`large-${i}`, 'y'.repeat(100_000)) })
  const plain = await http1('GET', MAPS)
  assert.equal(plain.headers['content-encoding'], undefined)
  const zipped = await http1('GET', MAPS, { headers: { 'accept-encoding': 'gzip' } })
  assert.equal(zipped.headers['content-encoding'], 'gzip')
  assert.ok(zipped.body.length < plain.body.length / 10)
  assert.equal(gunzipSync(zipped.body).toString(), plain.body.toString())
})

test('long answers sent side by side, again and again, hold what they held before', async () => {
  for (let i = 0; i < 8; i++)
    await http1('POST', MAPS, { body: map(`own-${i}`, String(i).repeat(100_000)) })
  const { items: before } = json(await http1('GET', MAPS))
  const session = http2Session()
  for (let round = 0; round < 3; round++) {
    const answers = await Promise.all([
      http1('GET', MAPS),
      http2(session, 'GET', MAPS),
      http1('GET', MAPS, { headers: { 'accept-encoding': 'gzip' } }),
      http2(session, 'GET', MAPS),
    ])
    for (const answer of answers) {
      const isZipped = answer.headers['content-encoding'] === 'gzip'
      const { items } = json(isZipped ? { ...answer, body: gunzipSync(answer.body) } : answer)
      assert.deepEqual(items, before)
    }
  }
  session.close()
})

test('a certificate of ours is handed on, another one is noticed', async () => {
  await http1('GET', '/version', { credential: pki.admin })
  assert.ok(last?.clientCertificate instanceof Uint8Array)
  await http1('GET', '/version', { credential: stranger.admin })
  assert.equal(last?.clientCertificate, undefined)
  assert.equal(last?.untrustedCertificate, true)
  await http1('GET', '/version')
  assert.equal(last?.untrustedCertificate, undefined)
})

test('a watch answers before anything has happened, and ends when the client goes', async () => {
  const session = http2Session()
  const stream = session.request({
    ':path': `${MAPS}?watch=1&resourceVersion=${t.server.inside.read.revision()}`,
  })
  const [headers] = (await once(stream, 'response')) as [Record<string, unknown>]
  assert.equal(headers[':status'], 200)
  const event = once(stream, 'data')
  await http1('POST', MAPS, { body: map('seen') })
  const [chunk] = (await event) as [Buffer]
  assert.match(chunk.toString(), /^\{"type":"ADDED","object":\{"kind":"ConfigMap".*\}\n$/)
  const gone = last?.signal
  stream.close()
  await once(stream, 'close')
  while (gone?.aborted !== true) await new Promise((resolve) => setImmediate(resolve))
  session.close()
})

test('a thousand watches fit on one connection', async () => {
  const session = http2Session()
  const path = `${MAPS}?watch=1&resourceVersion=${t.server.inside.read.revision()}`
  const streams = Array.from({ length: 1000 }, () => session.request({ ':path': path }))
  await Promise.all(streams.map((stream) => once(stream, 'response')))
  const all = Promise.all(streams.map((stream) => once(stream, 'data')))
  await http1('POST', MAPS, { body: map('to-all') })
  await all
  session.destroy()
})

test('who leaves very many watches at once keeps the connection', async () => {
  const session = http2Session()
  for (let round = 0; round < 3; round++) {
    const streams = Array.from({ length: 700 }, () =>
      session.request({ ':path': '/api/v1/namespaces/empty/configmaps?watch=1' }),
    )
    await Promise.all(streams.map((stream) => event(stream, 'response')))
    for (const stream of streams) stream.close(constants.NGHTTP2_CANCEL)
    await Promise.all(streams.map((stream) => event(stream, 'close')))
  }
  assert.equal((await http2(session, 'GET', '/api/v1/namespaces/empty/configmaps')).status, 200)
  session.close()
})

test('an upgrade hands over the socket', async () => {
  const socket = connectTls({ host: '127.0.0.1', port: open.port, ca: pki.authority.certificate })
  await once(socket, 'secureConnect')
  socket.write('GET /echo HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n')
  const [head] = (await event(socket, 'data')) as [Buffer]
  assert.match(
    head.toString(),
    /^HTTP\/1\.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n$/,
  )
  socket.write('hello')
  const [echo] = (await event(socket, 'data')) as [Buffer]
  assert.equal(echo.toString(), 'hello')
  socket.destroy()
})

test('an upgrade that is refused is answered like any request', async () => {
  const socket = connectTls({ host: '127.0.0.1', port: open.port, ca: pki.authority.certificate })
  await once(socket, 'secureConnect')
  socket.write('GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n')
  let text = ''
  socket.on('data', (chunk: Buffer) => (text += chunk.toString()))
  await once(socket, 'close')
  assert.match(text, /^HTTP\/1\.1 404 Not Found\r\n/)
  assert.match(text, /404 page not found/)
})

test('closing ends watches in order and takes no new connections', async () => {
  const own = await testServer({ env })
  const listening = await own.server.listen({ host: '127.0.0.1', port: 0, tls: tls() })
  const session = http2Session(listening.port)
  const stream = session.request({ ':path': `${MAPS}?watch=1` })
  await once(stream, 'response')
  const ended = once(stream, 'end')
  stream.resume()
  await own.server.close()
  await ended
  assert.equal(stream.rstCode, 0)
  session.destroy()
})

test('closing lets requests that are under way finish, over both protocols', async () => {
  const begun: PromiseWithResolvers<void>[] = [Promise.withResolvers(), Promise.withResolvers()]
  const may = Promise.withResolvers<void>()
  let count = 0
  const own = await testServer({
    env,
    extensions: {
      admission: [
        {
          name: 'Slow',
          handles: () => true,
          async mutate({ signal }) {
            begun[count++]?.resolve()
            await may.promise
            signal.throwIfAborted()
          },
        },
      ],
    },
  })
  const listening = await own.server.listen({ host: '127.0.0.1', port: 0, tls: tls() })
  const map = (name: string) => JSON.stringify({ metadata: { name } })
  const session = http2Session(listening.port)
  const stream = session.request({ ':path': MAPS, ':method': 'POST' })
  stream.end(map('a'))
  const socket = connectTls({
    host: '127.0.0.1',
    port: listening.port,
    ca: pki.authority.certificate,
  })
  const body = map('b')
  socket.write(`POST ${MAPS} HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
  await Promise.all(begun.map(({ promise }) => promise))
  const [answered, first] = [event(stream, 'response'), event(socket, 'data')]
  const closed = own.server.close()
  // A connection that is there already: what comes over it now is refused.
  socket.write('GET /api HTTP/1.1\r\nHost: x\r\n\r\n')
  may.resolve()
  const [headers] = (await answered) as [Record<string, unknown>]
  assert.equal(headers[':status'], 201)
  const [head] = (await first) as [Buffer]
  let text = head.toString()
  socket.on('data', (chunk: Buffer) => (text += chunk.toString()))
  assert.match(text, /^HTTP\/1\.1 201 Created\r\n/)
  await closed
  assert.match(text, /\r\nretry-after: 1\r\n[^]*"message":"apiserver is shutting down"/)
  session.destroy()
})

test('an answer that is not read holds nothing up and is not made', async () => {
  let made = 0
  const endless: Handler = async () => ({
    status: 200,
    headers: {},
    body: (async function* () {
      for (;;) {
        made++
        yield Buffer.alloc(64 * 1024)
      }
    })(),
  })
  const own = await listen(endless, { host: '127.0.0.1', port: 0, tls: tls() }, env)
  const session = http2Session(own.port)
  const stream = session.request({ ':path': '/' })
  await once(stream, 'response')
  stream.pause()
  for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve))
  const soon = made
  for (let i = 0; i < 200; i++) await new Promise((resolve) => setImmediate(resolve))
  assert.ok(made <= soon + 64, `${made} chunks were made for nobody`)
  session.destroy()
  await own.close()
})

function once(source: NodeJS.EventEmitter, event: string): Promise<unknown[]> {
  return new Promise((resolve, reject) => {
    source.once(event, (...values: unknown[]) => resolve(values))
    source.once('error', reject)
  })
}

test('an answer that is over is not held for a client that has stopped reading', async () => {
  const over = new AbortController()
  async function* endless(): AsyncGenerator<Uint8Array> {
    for (;;) yield new Uint8Array(256 * 1024)
  }
  const listening = await listen(
    async () => ({ status: 200, headers: {}, body: endless(), over: over.signal }),
    { host: '127.0.0.1', port: 0, tls: tls() },
    env,
  )
  const socket = connectTls({
    host: '127.0.0.1',
    port: listening.port,
    ca: pki.authority.certificate,
  })
  socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
  const [head] = (await event(socket, 'data')) as [Buffer]
  assert.match(head.toString('latin1'), /^HTTP\/1.1 200/)
  socket.pause()
  over.abort()
  const closed = event(socket, 'close')
  socket.resume()
  await closed
  await listening.close()
})

test('a request that is left in the middle of its body is over, in both protocols', async () => {
  const headers = { 'content-type': 'application/json', 'content-length': '1000' }
  const over = async (leave: () => void): Promise<void> => {
    while (last?.headers['content-length'] !== '1000') await new Promise(setImmediate)
    const exchange = last
    last = undefined
    const reading = exchange.body()
    assert.equal(exchange.signal.aborted, false)
    leave()
    await assert.rejects(reading, { message: /ended before its body was complete/ })
    assert.equal(exchange.signal.aborted, true)
  }
  last = undefined
  const request = requestHttps({
    host: '127.0.0.1',
    port: open.port,
    method: 'POST',
    path: MAPS,
    ca: pki.authority.certificate,
    agent: false,
    headers,
  })
  request.on('error', () => undefined)
  request.write('{')
  await over(() => request.destroy())

  const session = http2Session()
  const stream = session.request({ ':method': 'POST', ':path': MAPS, ...headers })
  stream.on('error', () => undefined)
  stream.write('{')
  await over(() => stream.close(constants.NGHTTP2_CANCEL))
  session.close()
})

test('who asks for the signal of a request that is over gets one that has aborted', async () => {
  await http1('GET', '/version')
  const exchange = last
  // The answer is here before the server knows that it was sent.
  while (exchange?.signal.aborted === false) await new Promise(setImmediate)
  assert.equal(exchange?.signal.aborted, true)
})
