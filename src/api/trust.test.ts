import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FieldPath } from '#machinery'
import type { ClusterTrustBundle } from './types/certificates-v1beta1.gen.ts'
import { validateBundle, validateBundleSource, validatePodCertificate } from './trust.ts'

const CERTIFICATE = `-----BEGIN CERTIFICATE-----\nMIIBczCCARmg\n-----END CERTIFICATE-----\n`
const bundle = (name: string, signerName: string | undefined, trustBundle = CERTIFICATE) =>
  validateBundle({
    metadata: { name },
    spec: { ...(signerName === undefined ? {} : { signerName }), trustBundle },
  } as ClusterTrustBundle).map(({ field }) => field)

test('a trust bundle is called after its signer, and holds certificates and nothing else', () => {
  assert.deepEqual(bundle('example.com:signer:one', 'example.com/signer'), [])
  assert.deepEqual(bundle('one', undefined), [])
  assert.deepEqual(bundle('one', 'example.com/signer'), ['metadata.name'])
  assert.deepEqual(bundle('a:b', undefined), ['metadata.name'])
  const broken = ['', 'text', `${CERTIFICATE}text`, CERTIFICATE + CERTIFICATE]
  for (const pem of [...broken, CERTIFICATE.replaceAll('CERTIFICATE', 'PRIVATE KEY')])
    assert.notDeepEqual(bundle('one', undefined, pem), [], pem)
})

test('a pod certificate lives between an hour and 91 days', () => {
  const source = (maxExpirationSeconds: number, signerName = 'example.com/signer') =>
    validatePodCertificate(
      { signerName, keyType: 'ED25519', maxExpirationSeconds, credentialBundlePath: 'bundle.pem' },
      FieldPath.of('spec'),
    ).map(({ detail }) => detail)
  assert.deepEqual(source(3600), [])
  assert.match(source(3599)[0] ?? '', /must be >= 3600/)
  assert.match(source(7_862_401)[0] ?? '', /must be <= 7862400/)
  assert.match(source(86_401, 'kubernetes.io/kube-apiserver-client-pod')[0] ?? '', /<= 86400/)
})

test('a volume names a bundle, or those of a signer', () => {
  const errors = (source: object) =>
    validateBundleSource({ path: 'ca.pem', ...source }, FieldPath.of('spec')).length
  assert.equal(errors({ name: 'one' }), 0)
  assert.equal(errors({ signerName: 'example.com/signer', labelSelector: {} }), 0)
  assert.equal(errors({}), 1)
  assert.equal(errors({ name: 'one', signerName: 'example.com/signer' }), 1)
  assert.equal(errors({ name: 'one', labelSelector: {} }), 1)
})
