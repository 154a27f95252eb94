import assert from 'node:assert/strict'
import { createPrivateKey } from 'node:crypto'
import { test } from 'node:test'
import 'reflect-metadata'
import { Pkcs10CertificateRequest } from '@peculiar/x509'
import { makeKeyAndRequest } from './keys.ts'

for (const keyType of ['ECDSAP256', 'ECDSAP384', 'ECDSAP521', 'ED25519', 'RSA3072']) {
  test(`a request for a key of type ${keyType} has no name, and is signed with that key`, async () => {
    const { key, request } = await makeKeyAndRequest(keyType)
    assert.match(key, /^-----BEGIN PRIVATE KEY-----/)
    const read = new Pkcs10CertificateRequest(request)
    assert.equal(read.subject, '')
    assert.equal(await read.verify(), true)
    const kind = createPrivateKey(key).asymmetricKeyType
    assert.ok(keyType.toLowerCase().startsWith(kind === 'ec' ? 'ecdsa' : String(kind)))
  })
}

test('a type of key that nobody knows is refused', async () => {
  await assert.rejects(makeKeyAndRequest('DSA'), /unknown key type "DSA"/)
})
