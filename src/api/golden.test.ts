import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  apiVersionOf,
  equal,
  decodeTyped,
  StatusError,
  type JsonObject,
  type KubeObject,
  type ResourceDefinition,
} from '#machinery'
import golden from '../machinery/testdata/golden.json' with { type: 'json' }
import { definitionsFor } from './catalog.ts'
import { typeTable } from './facts.ts'

const objects = golden.objects as unknown as Readonly<Record<string, { readonly json: JsonObject }>>
const now = new Date('2026-01-02T03:04:05Z')
const user = { name: 'jane', groups: ['system:authenticated'], extra: { scopes: ['all'] } }

interface Sample {
  readonly name: string
  readonly definition: ResourceDefinition
  readonly object: JsonObject
}

/** The full object that the upstream API keeps to test its codecs with, and the least one. */
const samples: readonly Sample[] = definitionsFor({ also: ['all'] }).flatMap((definition) => {
  const { group, version, kind, resource, type } = definition.facts
  const full = objects[`${group === '' ? 'core' : group}.${version}.${kind}`]?.json
  const name = `${group}/${version} ${resource}`
  const apiVersion = apiVersionOf(definition.facts)
  const least = { apiVersion, kind, metadata: { name: 'x' } }
  return [
    ...(full ? [{ name: `${name} (full)`, definition, object: decode(type, full) }] : []),
    { name: `${name} (empty)`, definition, object: decode(type, least) },
    { name: `${name} (bare)`, definition, object: structuredClone(least) },
  ]
})

function decode(type: string, value: JsonObject): JsonObject {
  return decodeTyped(typeTable, type, value, { unknown: 'ignore' }).object
}
const copy = (object: JsonObject): JsonObject => structuredClone(object)
const context = (subresource: string) => ({ user, now, subresource })

test('there are full samples to try the definitions on', () => {
  assert.ok(samples.filter(({ name }) => name.endsWith('(full)')).length > 60)
})

test('defaulting twice gives the bytes of defaulting once', () => {
  for (const { name, definition, object } of samples) {
    const once = copy(object)
    definition.defaults(once)
    const twice = copy(once)
    definition.defaults(twice)
    assert.equal(JSON.stringify(twice), JSON.stringify(once), name)
  }
})

test('a decoded and defaulted object decodes to itself', () => {
  for (const { name, definition, object } of samples) {
    if (name.endsWith('(bare)')) continue
    const defaulted = copy(object)
    definition.defaults(defaulted)
    const again = decode(definition.facts.type, defaulted)
    definition.defaults(again)
    assert.ok(equal(again, defaulted), name)
  }
})

function refusedOrDone(run: () => void): void {
  try {
    run()
  } catch (error) {
    assert.ok(error instanceof StatusError, String(error))
  }
}

test('no object is too strange for a definition', () => {
  for (const { name, definition, object } of samples) {
    const defaulted = copy(object)
    definition.defaults(defaulted)
    const old = copy(defaulted) as unknown as KubeObject
    for (const { name: subresource } of [{ name: '' }, ...(definition.facts.subresources ?? [])]) {
      const created = copy(defaulted)
      const updated = copy(defaulted)
      try {
        refusedOrDone(() => definition.prepareForCreate(created, context(subresource)))
        definition.prepareForUpdate(updated, old, context(subresource))
        definition.validate(updated)
        definition.validateUpdate(updated, old, context(subresource))
        definition.warnings(updated, old)
        definition.graceSeconds(old, undefined)
        for (const value of Object.values(definition.fields(old))) {
          assert.equal(typeof value, 'string', name)
        }
        for (const column of definition.columns) {
          const cell: unknown = column.value(old as never, now)
          assert.ok(['string', 'number', 'boolean', 'undefined'].includes(typeof cell), column.name)
          assert.ok(!String(cell).includes('[object'), `${name} ${column.name}: ${String(cell)}`)
        }
      } catch (error) {
        throw new Error(`${name} ${subresource}`, { cause: error })
      }
    }
  }
})

test('an update that changes nothing breaks no rule about changes', () => {
  for (const { name, definition, object } of samples) {
    if (definition.facts.resource === 'namespaces') continue
    const defaulted = copy(object)
    definition.defaults(defaulted)
    const old = copy(defaulted) as unknown as KubeObject
    for (const subresource of ['', 'status']) {
      const errors = definition.validateUpdate(defaulted, old, context(subresource))
      assert.deepEqual(errors, [], name)
    }
  }
})

test('every definition has a column to its name', () => {
  for (const { name, definition } of samples) {
    assert.ok(
      definition.columns.some((column) => column.name === 'Name'),
      name,
    )
  }
})

test('what is stored in another version comes back as it was', () => {
  for (const { name, definition, object } of samples) {
    const { convert } = definition
    if (convert === undefined || name.endsWith('(bare)')) continue
    const defaulted = copy(object)
    definition.defaults(defaulted)
    const stored = convert.toStorage(copy(defaulted))
    assert.notEqual(stored['apiVersion'], defaulted['apiVersion'], name)
    const back = convert.fromStorage(stored as unknown as KubeObject)
    // Decoding drops what the other form writes out and this one leaves out.
    const again = decode(definition.facts.type, back)
    definition.defaults(again)
    assert.deepEqual(again, defaulted, name)
  }
})

test('an object with anything missing is refused or taken, never stumbled over', () => {
  const full = samples.filter(({ name }) => name.endsWith('(full)'))
  fc.assert(
    fc.property(fc.constantFrom(...full), fc.array(fc.nat()), ({ definition, object }, cuts) => {
      const { facts } = definition
      const damaged = decode(facts.type, cuts.reduce(cutAt, copy(object)))
      definition.defaults(damaged)
      const again = copy(damaged)
      definition.defaults(again)
      assert.equal(JSON.stringify(again), JSON.stringify(damaged))
      const old = copy(damaged) as unknown as KubeObject
      refusedOrDone(() => definition.prepareForCreate(copy(damaged), context('')))
      definition.prepareForUpdate(damaged, old, context(''))
      definition.validate(damaged)
      definition.validateUpdate(damaged, old, context(''))
      definition.warnings(damaged, old)
      definition.fields(old)
      for (const column of definition.columns) column.value(old as never, now)
    }),
    { numRuns: 2000 },
  )
})

/** Without the n-th of all fields, however deep; names stay. */
function cutAt(object: JsonObject, n: number): JsonObject {
  const places: { readonly parent: JsonObject; readonly key: string }[] = []
  const collect = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return
    if (Array.isArray(value)) return value.forEach(collect)
    for (const [key, child] of Object.entries(value)) {
      if (key !== 'metadata') places.push({ parent: value as JsonObject, key })
      collect(child)
    }
  }
  collect(object)
  const place = places[n % Math.max(1, places.length)]
  if (place) delete place.parent[place.key]
  return object
}

test('storage prefixes are unique, but for one kind in several versions or groups', () => {
  const owners = new Map<string, string>()
  for (const { facts, storagePrefix } of definitionsFor()) {
    if (!facts.persisted) continue
    const known = owners.get(storagePrefix)
    assert.ok(known === undefined || known === facts.kind, storagePrefix)
    owners.set(storagePrefix, facts.kind)
  }
})
