import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { after, before, test } from 'node:test'
import type * as X509 from '@peculiar/x509'
import { endpointSlices, services } from '#api'
import { realEnv, virtualEnv, type VirtualEnv } from '#base'
import { testReader } from '../auth/reader.testing.ts'
import { ensurePki, type Pki } from '../certificates/index.ts'
import { createWebhookClient, WebhookCallError, type WebhookClientOptions } from './index.ts'

const real = realEnv()
let pki: Pki
let server: Server
let port = 0
let sockets = 0
/** Called when a request has come whose answer never will. */
let hanging: () => void = () => undefined

let certificate: string
before(async () => {
  pki = await ensurePki(virtualEnv({ start: new Date() }), '/pki', {})
  const leaf = await pki.issue({
    subject: { commonName: 'hook' },
    usages: ['server'],
    names: ['hook.shop.svc'],
    addresses: ['127.0.0.1'],
  })
  certificate = leaf.certificate
  server = createServer({ cert: leaf.certificate, key: leaf.key }, (request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const { pathname } = new URL(request.url ?? '', 'https://x')
      if (pathname === '/hang') hanging()
      else if (pathname === '/status')
        response
          .writeHead(500)
          .end(JSON.stringify({ kind: 'Status', apiVersion: 'v1', message: 'out of order' }))
      else if (pathname === '/broken') response.writeHead(500).end('boom')
      else if (pathname === '/absent') response.writeHead(404).end('nothing here')
      else if (pathname === '/text') response.end('hello')
      else
        response.end(
          JSON.stringify({
            url: request.url,
            host: request.headers.host,
            agent: request.headers['user-agent'],
            traceparent: request.headers['traceparent'],
            given: JSON.parse(Buffer.concat(chunks).toString()) as unknown,
          }),
        )
    })
  })
  server.on('secureConnection', () => sockets++)
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  ;({ port } = server.address() as AddressInfo)
})
after(() => {
  server.closeAllConnections()
  server.close()
})

const caBundle = (): string => Buffer.from(pki.authority.certificate).toString('base64')
const at = (path: string) => ({ url: `https://127.0.0.1:${port}${path}`, caBundle: caBundle() })
const OPTIONS = { timeoutMs: 10_000 }

const client = (options: Partial<WebhookClientOptions['env']> = {}, read = testReader()) => {
  const made = createWebhookClient({ env: { ...real, ...options }, read })
  after(() => made.close())
  return made
}

const failing = (work: Promise<unknown>, message: string | RegExp): Promise<void> =>
  assert.rejects(work, (error: unknown) => {
    assert.ok(error instanceof WebhookCallError, String(error))
    if (typeof message === 'string') assert.equal(error.message, message)
    else assert.match(error.message, message)
    return true
  })

test('a webhook is asked by its URL, and its connection is kept for the next call', async () => {
  const { call } = client()
  const before = sockets
  const expected = {
    url: '/review?timeout=10s',
    host: `127.0.0.1:${port}`,
    agent: 'kube-apiserver-admission',
    given: { a: 'ü' },
  }
  assert.deepEqual(await call(at('/review'), { a: 'ü' }, OPTIONS), expected)
  assert.deepEqual(await call(at('/review'), { a: 'ü' }, OPTIONS), expected)
  assert.equal(sockets - before, 1)
})

test('a path is made plain before it is asked for', async () => {
  const { call } = client()
  for (const path of ['//review', '/a/../review', '/review/']) {
    const { url } = (await call(at(path), {}, OPTIONS)) as { url: string }
    assert.equal(url, '/review?timeout=10s')
  }
})

test('a webhook is told the trace that it is asked in', async () => {
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
  const answer = await client().call(at('/review'), {}, { ...OPTIONS, traceparent })
  assert.equal(answer['traceparent'], traceparent)
})

test('a webhook is asked through its Service, and must show that it is that Service', async () => {
  const read = testReader()
  const { call } = client({}, read)
  const service = { namespace: 'shop', name: 'hook', path: '/review', port: 8443 }
  const config = { service, caBundle: caBundle() }
  const post = 'Post "https://hook.shop.svc:8443/review?timeout=10s": '
  await failing(call(config, {}, OPTIONS), `${post}service "hook" not found`)
  read.put(services, {
    metadata: { namespace: 'shop', name: 'hook' },
    spec: { ports: [{ name: 'https', port: 8443 }] },
  })
  await failing(call(config, {}, OPTIONS), `${post}no endpoints available for service "hook"`)
  await failing(
    call({ ...config, service: { ...service, port: 1 } }, {}, OPTIONS),
    'Post "https://hook.shop.svc:1/review?timeout=10s": no service port 1 found for service "hook"',
  )
  read.put(endpointSlices, {
    metadata: {
      namespace: 'shop',
      name: 'hook-1',
      labels: { 'kubernetes.io/service-name': 'hook' },
    },
    addressType: 'IPv4',
    ports: [{ name: 'https', port }],
    endpoints: [
      { addresses: ['127.0.0.9'], conditions: { ready: false } },
      { addresses: ['127.0.0.1'] },
    ],
  })
  const answer = await call(config, {}, OPTIONS)
  assert.equal(answer['host'], 'hook.shop.svc:8443')
  assert.equal(answer['url'], '/review?timeout=10s')
  read.put(services, {
    metadata: { namespace: 'shop', name: 'other' },
    spec: { ports: [{ name: 'https', port: 443 }] },
  })
  read.put(endpointSlices, {
    metadata: {
      namespace: 'shop',
      name: 'other-1',
      labels: { 'kubernetes.io/service-name': 'other' },
    },
    addressType: 'IPv4',
    ports: [{ name: 'https', port }],
    endpoints: [{ addresses: ['127.0.0.1'] }],
  })
  await failing(
    call({ service: { namespace: 'shop', name: 'other' }, caBundle: caBundle() }, {}, OPTIONS),
    'Post "https://other.shop.svc:443/?timeout=10s": tls: failed to verify certificate: x509: certificate is valid for hook.shop.svc, 127.0.0.1, not other.shop.svc',
  )
})

test("a bundle may be the webhook's own certificate, whoever signed it", async () => {
  const { url } = at('/review')
  const answer = await client().call(
    { url, caBundle: Buffer.from(certificate).toString('base64') },
    { a: 1 },
    OPTIONS,
  )
  assert.deepEqual(answer['given'], { a: 1 })
})

test('a certificate that the bundle does not vouch for is refused', async () => {
  const { call } = client()
  const { url } = at('/review')
  const text = 'tls: failed to verify certificate: x509: certificate signed by unknown authority'
  await failing(call({ url }, {}, OPTIONS), `Post "${url}?timeout=10s": ${text}`)
  const other = await ensurePki(virtualEnv({ seed: 2, start: new Date() }), '/pki', {})
  assert.notEqual(
    new X509Certificate(other.authority.certificate).fingerprint,
    new X509Certificate(pki.authority.certificate).fingerprint,
  )
  const bundle = Buffer.from(other.authority.certificate).toString('base64')
  await failing(call({ url, caBundle: bundle }, {}, OPTIONS), `Post "${url}?timeout=10s": ${text}`)
})

test('names that are left empty keep no webhook from being asked, and open it to nobody else', async () => {
  const x509 = await import('@peculiar/x509')
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256' }
  const keys = () => crypto.subtle.generateKey({ ...algorithm }, true, ['sign', 'verify'])
  type Keys = Awaited<ReturnType<typeof keys>>
  const [authorityKeys, leafKeys, otherKeys] = [await keys(), await keys(), await keys()]
  const moment = real.clock.now().getTime()
  const common = {
    notBefore: new Date(moment - 3_600_000),
    notAfter: new Date(moment + 3_600_000),
    signingAlgorithm: { ...algorithm, hash: 'SHA-256' },
  }
  const authority = ({ publicKey, privateKey }: Keys, ca = true) =>
    x509.X509CertificateGenerator.create({
      ...common,
      issuer: 'CN=Ephemeral CA',
      publicKey,
      signingKey: privateKey,
      extensions: [new x509.BasicConstraintsExtension(ca)],
    })
  const shown = (name: string) =>
    x509.X509CertificateGenerator.create({
      ...common,
      publicKey: leafKeys.publicKey,
      signingKey: authorityKeys.privateKey,
      extensions: [new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: name }])],
    })
  const key = x509.PemConverter.encode(
    await crypto.subtle.exportKey('pkcs8', leafKeys.privateKey),
    'PRIVATE KEY',
  )
  const asked = async (bundle: X509.X509Certificate, name = 'localhost') => {
    const hook = createServer({ cert: (await shown(name)).toString('pem'), key }, (_, response) =>
      response.end('{"well":"met"}'),
    )
    await new Promise<void>((resolve) => {
      hook.listen(0, '127.0.0.1', resolve)
    })
    try {
      const url = `https://localhost:${(hook.address() as AddressInfo).port}/`
      const caBundle = Buffer.from(bundle.toString('pem')).toString('base64')
      return await client().call({ url, caBundle }, {}, OPTIONS)
    } finally {
      hook.closeAllConnections()
      hook.close()
    }
  }
  assert.deepEqual(await asked(await authority(authorityKeys)), { well: 'met' })
  const unknown = /certificate signed by unknown authority$/
  await failing(asked(await authority(otherKeys)), unknown)
  await failing(asked(await authority(authorityKeys, false)), unknown)
  await failing(asked(await authority(authorityKeys), 'elsewhere'), /valid for elsewhere, not /)
})

test('a webhook that does not answer in time is given up', async () => {
  const env: VirtualEnv = virtualEnv()
  const { call } = client({ clock: env.clock })
  const arrived = new Promise<void>((resolve) => {
    hanging = resolve
  })
  const config = at('/hang')
  const answer = call(config, {}, { timeoutMs: 1000 })
  answer.catch(() => undefined)
  await arrived
  await env.advance(1000)
  await failing(answer, `Post "${config.url}?timeout=1s": context deadline exceeded`)
})

test('a call ends with the request that caused it', async () => {
  const { call } = client()
  const stop = new AbortController()
  hanging = () => stop.abort()
  const config = at('/hang')
  await failing(
    call(config, {}, { timeoutMs: 60_000, signal: stop.signal }),
    `Post "${config.url}?timeout=60s": context canceled`,
  )
})

test('what is no answer is told of in known words', async () => {
  const { call } = client()
  await failing(call(at('/status'), {}, OPTIONS), 'out of order')
  await failing(
    call(at('/broken'), {}, OPTIONS),
    'an error on the server ("boom") has prevented the request from succeeding',
  )
  await failing(
    call(at('/absent'), {}, OPTIONS),
    'the server could not find the requested resource',
  )
  await failing(call(at('/text'), {}, OPTIONS), /^couldn't get version\/kind; json parse error/)
  await failing(
    call({ url: 'https://127.0.0.1:1/x' }, {}, OPTIONS),
    'Post "https://127.0.0.1:1/x?timeout=10s": dial tcp 127.0.0.1:1: connect: connection refused',
  )
})
