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
