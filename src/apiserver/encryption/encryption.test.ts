import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import * as grpc from '@grpc/grpc-js'
import fc from 'fast-check'
import { definitions } from '#api'
import { realEnv, virtualEnv } from '#base'
import { createMemoryStorage } from '#storage'
import { aesCbc, aesGcm, secretbox } from './ciphers.ts'
import { covers, parseEncryptionConfiguration } from './configuration.ts'
import { openEncryption, prefixOf } from './index.ts'

const text = (value: Uint8Array | undefined): string => Buffer.from(value ?? []).toString()
const origin = { actor: 'tester', time: 0 }
const SECRET = '/registry/secrets/shop/password'
const FILE = '/encryption.yaml'

const ofYaml = (providers: string, resources = 'secrets') => `
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources: [{resources: [${resources}], providers: [${providers}]}]`
const key = (name: string, fill: number) =>
  `{name: ${name}, secret: ${Buffer.alloc(32, fill).toString('base64')}}`

test('what a cipher seals it opens, and nobody else does', () => {
  const { random } = realEnv()
  const secret = { name: 'a', secret: Buffer.alloc(32, 1) }
  const other = { name: 'a', secret: Buffer.alloc(32, 2) }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.string(), (value, at) => {
      for (const make of [aesGcm, aesCbc, secretbox]) {
        const sealed = make(secret, random).seal(at, value)
        assert.deepEqual(Buffer.from(make(secret, random).open(at, sealed)), Buffer.from(value))
        if (make === aesCbc) continue
        assert.throws(() => make(other, random).open(at, sealed))
        sealed[sealed.length - 1]! ^= 1
        assert.throws(() => make(secret, random).open(at, sealed))
      }
      const moved = aesGcm(secret, random).seal(at, value)
      assert.throws(() => aesGcm(secret, random).open(`${at}x`, moved))
    }),
  )
})

test('Secrets are sealed from the first start, by a key that only its owner reads', async () => {
  const env = virtualEnv()
  const inner = createMemoryStorage(env)
  const { storage } = await openEncryption(env, inner, { file: FILE, definitions })
  await storage.create(SECRET, Buffer.from('{"hunter":2}'), origin)
  await storage.create('/registry/configmaps/shop/a', Buffer.from('{}'), origin)
  const stored = (await inner.get(SECRET)).value?.value
  assert.match(text(stored), /^k8s:enc:aesgcm:v1:key1:/)
  assert.ok(!text(stored).includes('hunter'))
  assert.equal(text((await storage.get(SECRET)).value?.value), '{"hunter":2}')
  assert.equal(text((await inner.get('/registry/configmaps/shop/a')).value?.value), '{}')
  assert.equal(((await env.fs.stat(FILE))?.mode ?? 0) & 0o777, 0o600)
  const again = await openEncryption(env, inner, { file: FILE, definitions })
  assert.equal(text((await again.storage.get(SECRET)).value?.value), '{"hunter":2}')
})

test('a new key is used for what is written, the old one still reads, and nothing is left of it afterwards', async () => {
  const env = virtualEnv()
  const inner = createMemoryStorage(env)
  await inner.create('/registry/secrets/shop/plain', Buffer.from('plain'), origin)
  const open = async (providers: string) => {
    await env.fs.write(FILE, ofYaml(providers))
    return openEncryption(env, inner, { file: FILE, definitions })
  }
  const first = await open(`{secretbox: {keys: [${key('old', 1)}]}}, {identity: {}}`)
  await first.storage.create(SECRET, Buffer.from('sealed'), origin)
  const second = await open(
    `{aesgcm: {keys: [${key('new', 2)}]}}, {secretbox: {keys: [${key('old', 1)}]}}, {identity: {}}`,
  )
  assert.equal(text((await second.storage.get(SECRET)).value?.value), 'sealed')
  assert.equal(await second.rewrite(), 2)
  assert.equal(await second.rewrite(), 0)
  const third = await open(`{aesgcm: {keys: [${key('new', 2)}]}}`)
  const { value } = await third.storage.list({ prefix: '/registry/secrets/' })
  assert.deepEqual(
    value.map((entry) => text(entry.value)),
    ['sealed', 'plain'],
  )
  const fourth = await open(`{aesgcm: {keys: [${key('other', 3)}]}}`)
  await assert.rejects(
    fourth.storage.get(SECRET),
    /encrypted with aesgcm:v1:new, of which there is no key/,
  )
  const fifth = await open('{identity: {}}, ' + `{aesgcm: {keys: [${key('new', 2)}]}}`)
  assert.equal(await fifth.rewrite(), 2)
  assert.equal(text((await inner.get(SECRET)).value?.value), 'sealed')
})

test('custom resources and whole groups are covered by name and by star', async () => {
  assert.ok(
    covers('*.*', 'secrets') && covers('*.', 'secrets') && covers('*.apps', 'deployments.apps'),
  )
  assert.ok(!covers('*.', 'deployments.apps') && !covers('*.apps', 'secrets'))
  const env = virtualEnv()
  const inner = createMemoryStorage(env)
  await env.fs.write(
    FILE,
    ofYaml(`{aesgcm: {keys: [${key('a', 1)}]}}`, 'widgets.example.com, "*.apps"'),
  )
  const { storage } = await openEncryption(env, inner, { file: FILE, definitions })
  for (const [path, sealed] of [
    ['/registry/example.com/widgets/shop/a', true],
    ['/registry/example.com/gadgets/shop/a', false],
    ['/registry/deployments/shop/a', true],
    ['/registry/secrets/shop/a', false],
  ] as const) {
    await storage.create(path, Buffer.from('{}'), origin)
    assert.equal(
      prefixOf((await inner.get(path)).value?.value ?? Buffer.of()) !== undefined,
      sealed,
      path,
    )
  }
})

test('a configuration that cannot be right is refused with its field, and without its secrets', () => {
  const refused = (providers: string, why: RegExp) =>
    assert.throws(() => parseEncryptionConfiguration(ofYaml(providers)), why)
  assert.throws(
    () => parseEncryptionConfiguration('kind: Pod'),
    /kind: must be EncryptionConfiguration/,
  )
  refused('{rot13: {}}', /providers\[0\]: must have exactly one of aesgcm/)
  refused('{aesgcm: {keys: []}}', /aesgcm\.keys: must have at least one key/)
  refused(
    '{aesgcm: {keys: [{name: a, secret: aHVudGVyMg==}]}}',
    /keys\[0\]\.secret: must be the base64 of 16, 24, 32 bytes, and has 7/,
  )
  refused('{kms: {name: a, apiVersion: v1}}', /apiVersion: must be v2/)
  refused('{kms: {name: a, apiVersion: v2, endpoint: "tcp://x"}}', /must be a unix socket/)
})

test('a KMS plugin wraps the seed, and is asked once for each of its seeds', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'kms-'))
  const socket = join(folder, 'kms.sock')
  const asked: string[] = []
  const plugin = await fakePlugin(socket, asked)
  const env = { ...virtualEnv(), random: realEnv().random }
  try {
    await env.fs.write(
      FILE,
      ofYaml(`{kms: {name: vault, apiVersion: v2, endpoint: "unix://${socket}"}}`),
    )
    const inner = createMemoryStorage(env)
    const first = await openEncryption(env, inner, { file: FILE, definitions })
    await first.storage.create(SECRET, Buffer.from('one'), origin)
    await first.storage.create(`${SECRET}2`, Buffer.from('two'), origin)
    first.close()
    assert.match(text((await inner.get(SECRET)).value?.value), /^k8s:enc:kms:v2:vault:/)
    const second = await openEncryption(env, inner, { file: FILE, definitions })
    const { value } = await second.storage.list({ prefix: '/registry/' })
    assert.deepEqual(
      value.map((entry) => text(entry.value)),
      ['one', 'two'],
    )
    await second.checks['kms-provider-vault']?.()
    second.close()
    assert.deepEqual(asked, ['Status', 'Encrypt', 'Status', 'Encrypt', 'Decrypt', 'Status'])
  } finally {
    plugin.forceShutdown()
    rmSync(folder, { recursive: true })
  }
  await assert.rejects(
    openEncryption(env, createMemoryStorage(env), { file: FILE, definitions }),
    /\/encryption\.yaml: KMS "vault": Status: /,
  )
})

/** Wraps by turning every byte around. Its messages are written by hand: field numbers as in KMS v2. */
async function fakePlugin(socket: string, asked: string[]): Promise<grpc.Server> {
  const field = (id: number, value: Uint8Array) =>
    Buffer.concat([Buffer.from([(id << 3) | 2, value.length]), value])
  const first = (message: Buffer) => message.subarray(2, 2 + message[1]!)
  const turned = (value: Uint8Array) => Buffer.from(value.map((byte) => byte ^ 0xff))
  const method = (name: string, answer: (request: Buffer) => Buffer) => ({
    path: `/v2.KeyManagementService/${name}`,
    requestStream: false,
    responseStream: false,
    requestSerialize: (value: Buffer) => value,
    requestDeserialize: (value: Buffer) => value,
    responseSerialize: (value: Buffer) => value,
    responseDeserialize: (value: Buffer) => value,
    answer,
  })
  const methods = {
    Status: method('Status', () =>
      Buffer.concat([
        field(1, Buffer.from('v2')),
        field(2, Buffer.from('ok')),
        field(3, Buffer.from('k1')),
      ]),
    ),
    Encrypt: method('Encrypt', (request) =>
      Buffer.concat([field(1, turned(first(request))), field(2, Buffer.from('k1'))]),
    ),
    Decrypt: method('Decrypt', (request) => field(1, turned(first(request)))),
  }
  const server = new grpc.Server()
  server.addService(
    methods,
    Object.fromEntries(
      Object.entries(methods).map(([name, { answer }]) => [
        name,
        (call: { request: Buffer }, done: (error: null, value: Buffer) => void) => {
          asked.push(name)
          done(null, answer(call.request))
        },
      ]),
    ) as grpc.UntypedServiceImplementation,
  )
  await new Promise<void>((resolve, reject) =>
    server.bindAsync(`unix://${socket}`, grpc.ServerCredentials.createInsecure(), (error) =>
      error === null ? resolve() : reject(error),
    ),
  )
  return server
}
