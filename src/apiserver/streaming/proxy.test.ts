import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { endpointSlices, nodes, pods, services } from '#api'
import { duplexPair } from '#base'
import type { ConnectTarget } from '../extensions.ts'
import { connectHandlers } from './index.ts'
import { podAddress, serviceAddress } from './proxy-target.ts'
import { rewriteHtml, rewriteUrl } from './rewrite.ts'
import { env, get, handlers, kubelet, read } from './streaming.testing.ts'

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
  for (const method of ['POST', 'DELETE', 'OPTIONS'])
    assert.notEqual((await get(`${at}?q=1`, method)).status, 301, method)
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

test('a kubelet with a server gets requests of any kind, and its node’s other ports too', async () => {
  const echo = createServer((incoming, outgoing) => {
    outgoing.writeHead(201)
    outgoing.write(`${incoming.method} ${incoming.url} `)
    incoming.pipe(outgoing)
  })
  await new Promise<void>((resolve) => echo.listen(0, '127.0.0.1', resolve))
  const { port: echoPort } = echo.address() as AddressInfo
  const dialled: string[] = []
  const { connect } = env.net
  const there = () => connect({ host: '127.0.0.1', port: echoPort }, new AbortController().signal)
  read.put(nodes, {
    metadata: { name: 'far' },
    status: {
      addresses: [{ type: 'InternalIP', address: '10.0.0.3' }],
      daemonEndpoints: { kubeletEndpoint: { Port: 4321 } },
    },
  })
  const local = connectHandlers({
    env: {
      ...env,
      net: {
        ...env.net,
        connect: (to) => {
          if ('host' in to) dialled.push(`${to.host}:${to.port}`)
          return there()
        },
      },
    },
    read,
    nodeApi: () => ({ ...kubelet, connect: there }),
  })
  const original = handlers['nodes/proxy']
  Object.assign(handlers, { 'nodes/proxy': local['nodes/proxy'] })
  assert.deepEqual(await get('/nodes/far/proxy/run/a/b/c?cmd=ls%20-l', 'POST', 'body'), {
    status: 201,
    location: undefined,
    body: 'POST /run/a/b/c?cmd=ls+-l body',
  })
  assert.equal((await get('/nodes/https:far:4321/proxy/pods')).body, 'GET /pods ')
  assert.deepEqual(dialled, [])
  assert.equal((await get('/nodes/http:far:9100/proxy/metrics')).body, 'GET /metrics ')
  assert.deepEqual(dialled, ['10.0.0.3:9100'])
  Object.assign(handlers, { 'nodes/proxy': original })
  echo.close()
})

test('when an upgraded connection is over, the client’s side of it is let go too', async (t) => {
  const backend = createServer()
  // Says goodbye and hangs up; what the client answers has nowhere to go.
  backend.on('upgrade', (_request, socket) => {
    socket.on('error', () => undefined)
    socket.end(
      Buffer.concat([
        Buffer.from(
          'HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n',
        ),
        Buffer.of(0x88, 2, 0x03, 0xe8),
      ]),
    )
  })
  await new Promise<void>((resolve) => backend.listen(0, '127.0.0.1', resolve))
  t.after(() => backend.close())
  const { port: at } = backend.address() as AddressInfo
  const there = () => env.net.connect({ host: '127.0.0.1', port: at }, new AbortController().signal)
  const local = connectHandlers({
    env,
    read,
    nodeApi: () => ({ ...kubelet, connect: there }),
  })
  const [near, far] = duplexPair()
  const heard = new Promise<void>((resolve) => near.once('end', () => resolve()))
  const { status } = await local['nodes/proxy']!(
    {
      method: 'GET',
      path: '/nodes/n1/proxy/x',
      query: new URLSearchParams(),
      headers: { connection: 'Upgrade', upgrade: 'websocket' },
      body: async () => new Uint8Array(),
      remoteAddress: '127.0.0.1',
      signal: new AbortController().signal,
      upgrade: async () => near,
      id: '1',
      warnings: [],
    },
    {
      definition: {} as ConnectTarget['definition'],
      namespace: '',
      name: 'n1',
      subresource: 'proxy',
      rest: '/x',
      object: undefined,
    },
  )
  assert.equal(status, 101)
  far.resume()
  far.end('last words')
  await heard
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
