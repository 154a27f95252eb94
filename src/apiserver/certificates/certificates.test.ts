import assert from 'node:assert/strict'
import { X509Certificate, createPrivateKey, createPublicKey } from 'node:crypto'
import { connect, createServer } from 'node:tls'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { parse } from 'yaml'
import { seededRandom, virtualEnv } from '#base'
import {
  createRequest,
  ensurePki,
  keyPem,
  kubeconfigText,
  newKey,
  parseCertificate,
  readRequest,
} from './index.ts'

const OPTIONS = { names: ['builder'], ips: ['10.96.0.1', '192.168.7.2', 'fd00::1'] }

test('a new folder gets everything, and a second start changes nothing', async () => {
  const env = virtualEnv()
  const first = await ensurePki(env, '/data/pki', OPTIONS)
  const second = await ensurePki(env, '/data/pki', OPTIONS)
  assert.equal(second.authority.certificate, first.authority.certificate)
  assert.equal(second.server.certificate, first.server.certificate)
  assert.equal(second.admin.key, first.admin.key)
  assert.equal(second.serviceAccountKey, first.serviceAccountKey)
  for (const name of await env.fs.list('/data/pki'))
    assert.equal((await env.fs.stat(`/data/pki/${name}`))!.mode & 0o777, 0o600, name)
})

test('the server certificate has all names and addresses, and its authority signed it', async () => {
  const pki = await ensurePki(virtualEnv(), '/pki', OPTIONS)
  const server = new X509Certificate(pki.server.certificate)
  const authority = new X509Certificate(pki.authority.certificate)
  assert.ok(server.checkIssued(authority))
  assert.ok(server.verify(authority.publicKey))
  assert.ok(authority.ca)
  for (const name of ['localhost', 'kubernetes.default.svc.cluster.local', 'builder'])
    assert.equal(server.checkHost(name), name)
  for (const ip of ['127.0.0.1', '::1', ...OPTIONS.ips]) assert.ok(server.checkIP(ip), ip)
  assert.equal(server.checkHost('example.com'), undefined)
})

test('a new address makes a new server certificate under the same authority', async () => {
  const env = virtualEnv()
  const before = await ensurePki(env, '/pki', OPTIONS)
  const after = await ensurePki(env, '/pki', { ...OPTIONS, ips: [...OPTIONS.ips, '172.16.0.9'] })
  assert.notEqual(after.server.certificate, before.server.certificate)
  assert.equal(after.authority.certificate, before.authority.certificate)
  assert.equal(after.admin.certificate, before.admin.certificate)
})

test('certificates near their end are made anew, and damaged ones too', async () => {
  const env = virtualEnv()
  const before = await ensurePki(env, '/pki')
  await env.advance(300 * 24 * 3600 * 1000)
  assert.ok(before.renewAt < env.clock.now())
  const after = await ensurePki(env, '/pki')
  assert.notEqual(after.server.certificate, before.server.certificate)
  assert.equal(after.authority.certificate, before.authority.certificate)

  await env.fs.write('/pki/admin.crt', 'rubbish')
  const mended = await ensurePki(env, '/pki')
  assert.equal(new X509Certificate(mended.admin.certificate).ca, false)
  assert.equal(mended.server.certificate, after.server.certificate)
})

test('a client certificate says who and which groups', async () => {
  const pki = await ensurePki(virtualEnv(), '/pki')
  const { certificate } = await pki.issue({
    subject: { commonName: 'jané', organizations: ['dev', '#ff\\, "ops"'] },
    usages: ['client'],
    seconds: 3600,
  })
  const parsed = parseCertificate(new X509Certificate(certificate).raw)
  assert.deepEqual(parsed.subject, { commonName: 'jané', organizations: ['dev', '#ff\\, "ops"'] })
  assert.deepEqual(parsed.usages, ['client'])
  assert.equal(new X509Certificate(certificate).validTo, 'Jan  1 01:00:00 2026 GMT')
})

test('a request is read back, and signed only when its own key signed it', async () => {
  const env = virtualEnv()
  const pki = await ensurePki(env, '/pki')
  const key = newKey(env.random)
  const text = await createRequest(
    { commonName: 'system:node:n1', organizations: ['system:nodes'] },
    key,
    { names: ['n1'], addresses: ['10.0.0.7', 'fd00::7'] },
  )
  const request = await readRequest(text)
  assert.equal(request.subject.commonName, 'system:node:n1')
  assert.deepEqual(request.names, ['n1'])
  const signed = new X509Certificate(await pki.sign(text, { usages: ['client', 'server'] }))
  assert.ok(signed.checkPrivateKey(key))
  assert.ok(signed.checkIP('fd00::7') && signed.checkIP('10.0.0.7') && signed.checkHost('n1'))

  const forged = Buffer.from(text.split('\n').slice(1, -2).join(''), 'base64')
  forged[forged.length - 1]! ^= 1
  const broken = `-----BEGIN CERTIFICATE REQUEST-----\n${forged.toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`
  await assert.rejects(pki.sign(broken, { usages: ['client'] }), /not signed by its own key/)
})

test('a TLS client and server that show these certificates trust each other', async () => {
  const env = virtualEnv({ start: new Date() })
  const pki = await ensurePki(env, '/pki', OPTIONS)
  const server = createServer(
    {
      cert: pki.server.certificate,
      key: pki.server.key,
      ca: pki.authority.certificate,
      requestCert: true,
      rejectUnauthorized: true,
    },
    (socket) => socket.end(parseCertificate(socket.getPeerCertificate().raw).subject.commonName),
  )
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const socket = connect({
    host: '127.0.0.1',
    port,
    servername: 'kubernetes.default',
    ca: pki.authority.certificate,
    cert: pki.admin.certificate,
    key: pki.admin.key,
  })
  const chunks: Uint8Array[] = []
  for await (const chunk of socket) chunks.push(chunk as Uint8Array)
  assert.equal(Buffer.concat(chunks).toString(), 'kubernetes-admin')
  server.close()
})

test('one seed gives one key, and two seeds two', () => {
  assert.equal(keyPem(newKey(seededRandom(7))), keyPem(newKey(seededRandom(7))))
  assert.notEqual(keyPem(newKey(seededRandom(7))), keyPem(newKey(seededRandom(8))))
})

test('a kubeconfig carries its certificates', async () => {
  const pki = await ensurePki(virtualEnv(), '/pki')
  const document = parse(
    kubeconfigText({
      server: 'https://127.0.0.1:6443',
      authority: pki.authority.certificate,
      name: 'navarch',
      user: 'admin',
      credential: pki.admin,
    }),
  ) as { users: { user: Record<string, string> }[]; 'current-context': string }
  const key = Buffer.from(document.users[0]!.user['client-key-data']!, 'base64').toString()
  assert.equal(document['current-context'], 'navarch')
  assert.ok(createPublicKey(createPrivateKey(key)))
})
