import assert from 'node:assert/strict'
import { test } from 'node:test'
import { definitionsFor } from './catalog.ts'
import { parseRuntimeConfig } from './runtime-config.ts'

const served = (...texts: string[]): Set<string> =>
  new Set(
    definitionsFor(parseRuntimeConfig(texts)).map(
      ({ facts: { group, version, resource } }) => `${group}/${version}/${resource}`,
    ),
  )
const BUNDLES = 'certificates.k8s.io/v1beta1/clustertrustbundles'

test('only stable versions are served, until others are asked for by name or stage', () => {
  assert.equal(served().has(BUNDLES), false)
  assert.ok(served('certificates.k8s.io/v1beta1').has(BUNDLES))
  assert.ok(served('api/beta=true').has(BUNDLES))
  assert.equal(served('api/beta').has('resource.k8s.io/v1alpha3/devicetaintrules'), false)
  assert.ok(served('api/all=true').has('resource.k8s.io/v1alpha3/devicetaintrules'))
})

test('a version is switched off by its name, also one of a stage', () => {
  const some = served('api/beta=true,certificates.k8s.io/v1beta1=false', 'batch/v1=false')
  assert.equal(some.has(BUNDLES), false)
  assert.equal(some.has('batch/v1/jobs'), false)
  assert.ok(some.has('resource.k8s.io/v1beta2/devicetaintrules'))
})

test('what nobody knows, and what cannot be, is refused', () => {
  for (const text of ['apps/v7', 'api/beta=perhaps', 'api/v1=false', 'api/ga=false'])
    assert.throws(() => parseRuntimeConfig([text]), text)
})

test('what later became stable as it was comes under its last name with the betas, and a migration always', () => {
  const later = [
    'certificates.k8s.io/v1/clustertrustbundles',
    'certificates.k8s.io/v1/podcertificaterequests',
    'resource.k8s.io/v1/devicetaintrules',
  ]
  assert.deepEqual(
    later.filter((each) => served().has(each)),
    [],
  )
  assert.deepEqual(
    later.filter((each) => !served('api/beta=true').has(each)),
    [],
  )
  assert.ok(served().has('storagemigration.k8s.io/v1/storageversionmigrations'))
  const [first] = definitionsFor({ also: ['beta'] }).filter(
    ({ facts }) => facts.version === 'v1' && facts.resource === 'devicetaintrules',
  )
  assert.equal(first?.facts.type, 'io.k8s.api.resource.v1.DeviceTaintRule')
  assert.deepEqual(first.convert?.stored, { group: 'resource.k8s.io', version: 'v1beta2' })
})
