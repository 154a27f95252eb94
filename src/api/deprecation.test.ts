import assert from 'node:assert/strict'
import { test } from 'node:test'
import { findDefinition } from './catalog.ts'
import { deprecationWarning } from './deprecation.ts'

function warning(group: string, version: string, resource: string): string | undefined {
  const definition = findDefinition(group, version, resource)
  assert.ok(definition)
  return deprecationWarning(definition.facts)
}

test('what goes is told, with what comes', () => {
  assert.equal(
    warning('', 'v1', 'endpoints'),
    'v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice',
  )
  assert.equal(
    warning('storage.k8s.io', 'v1beta1', 'volumeattributesclasses'),
    'storage.k8s.io/v1beta1 VolumeAttributesClass is deprecated in v1.34+, unavailable in v1.37+; use storage.k8s.io/v1 VolumeAttributesClass',
  )
})

test('what stays, and what goes later, is not told', () => {
  assert.equal(warning('', 'v1', 'pods'), undefined)
  assert.equal(warning('certificates.k8s.io', 'v1beta1', 'podcertificaterequests'), undefined)
})
