import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import fc from 'fast-check'
import type { TypeTable } from '../facts.ts'
import { difference, intersection, isEmptySet, union, type FieldSet } from './field-set.ts'
import { applyConfiguration } from './apply.ts'
import type { OwnershipContext } from './entries.ts'
import { trackUpdate } from './track.ts'
import type { JsonObject } from '../object.ts'
import { shapeOf } from '../shape.ts'
import { decodeTyped } from '../typed.ts'

const { types } = JSON.parse(
  readFileSync(new URL('../../../facts/types.json', import.meta.url), 'utf8'),
) as { types: TypeTable }
const DEPLOYMENT = 'io.k8s.api.apps.v1.Deployment'
const shape = shapeOf(types, DEPLOYMENT)
const now = new Date('2026-01-01T00:00:00Z')
const context = (manager: string, more: Partial<OwnershipContext> = {}): OwnershipContext => ({
  shape,
  apiVersion: 'apps/v1',
  manager,
  subresource: '',
  now,
  ...more,
})
const typed = (value: unknown): JsonObject => decodeTyped(types, DEPLOYMENT, value).object
const web = (more: JsonObject = {}): JsonObject => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'web', labels: { app: 'web' } },
  spec: {
    replicas: 3,
    selector: { matchLabels: { app: 'web' } },
    template: {
      metadata: { labels: { app: 'web' } },
      spec: { containers: [{ name: 'main', image: 'one', ports: [{ containerPort: 80 }] }] },
    },
    ...more,
  },
})
const apply = (live: JsonObject, config: JsonObject, manager: string, force = false) =>
  applyConfiguration(live, config, { ...context(manager), force })
const accepted = (
  live: JsonObject,
  config: JsonObject,
  manager: string,
  force = false,
): JsonObject => {
  const result = apply(live, config, manager, force)
  assert.ok(result.ok, result.ok ? '' : result.message)
  return {
    ...result.object,
    metadata: { ...(result.object['metadata'] as object), managedFields: result.managedFields },
  }
}
const owners = (object: JsonObject): string[] =>
  (
    object['metadata'] as { managedFields: { manager: string; operation: string }[] }
  ).managedFields.map((e) => `${e.manager}/${e.operation}`)

test('a create is owned by its manager, in the form that kubectl shows', () => {
  const [entry] = trackUpdate(typed({}), typed(web()), context('kubectl-create'))
  assert.deepEqual(entry?.fieldsV1, {
    'f:metadata': { 'f:labels': { '.': {}, 'f:app': {} } },
    'f:spec': {
      'f:replicas': {},
      'f:selector': {},
      'f:template': {
        'f:metadata': { 'f:labels': { '.': {}, 'f:app': {} } },
        'f:spec': {
          'f:containers': {
            'k:{"name":"main"}': {
              '.': {},
              'f:image': {},
              'f:name': {},
              'f:ports': {
                '.': {},
                'k:{"containerPort":80,"protocol":"TCP"}': { '.': {}, 'f:containerPort': {} },
              },
              'f:resources': {},
            },
          },
        },
      },
    },
  })
})

test('an update takes the fields it changes from their owner', () => {
  const live = accepted({}, web(), 'one')
  const changed = structuredClone(live) as { metadata: object; spec: { replicas: number } }
  changed.spec.replicas = 5
  const entries = trackUpdate(live, changed, context('scaler'))
  assert.deepEqual(
    entries.map((e) => [e.manager, e.operation]),
    [
      ['one', 'Apply'],
      ['scaler', 'Update'],
    ],
  )
  assert.deepEqual(entries[1]?.fieldsV1, { 'f:spec': { 'f:replicas': {} } })
  const left = entries[0]?.fieldsV1 as { 'f:spec': object }
  assert.equal('f:replicas' in left['f:spec'], false)
})

test('what remains of an owner begins with the thing itself', () => {
  const fields: FieldSet = { 'k:{"name":"main"}': { '.': {}, 'f:image': {}, 'f:name': {} } }
  const left = difference(fields, { 'k:{"name":"main"}': { 'f:image': {} } })
  assert.equal(JSON.stringify(left), '{"k:{\\"name\\":\\"main\\"}":{".":{},"f:name":{}}}')
})

test('applying what another owns is a conflict, with force it is taken over', () => {
  const live = accepted({}, web(), 'one')
  const refused = apply(live, web({ replicas: 7 }), 'two')
  assert.ok(!refused.ok)
  assert.deepEqual(refused.causes, [
    { reason: 'FieldManagerConflict', message: 'conflict with "one"', field: '.spec.replicas' },
  ])
  assert.equal(refused.message, 'Apply failed with 1 conflict: conflict with "one": .spec.replicas')
  const forced = accepted(live, web({ replicas: 7 }), 'two', true)
  assert.equal((forced['spec'] as { replicas: number }).replicas, 7)
  assert.deepEqual(owners(forced), ['one/Apply', 'two/Apply'])
})

test('what a manager no longer applies goes away, unless another owns it too', () => {
  const labels = (names: string[]): JsonObject => ({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'web', labels: Object.fromEntries(names.map((n) => [n, 'x'])) },
  })
  const live = accepted(accepted({}, labels(['a', 'b', 'c']), 'one'), labels(['b']), 'two')
  const after = accepted(live, labels(['a']), 'one')
  assert.deepEqual((after['metadata'] as { labels: object }).labels, { a: 'x', b: 'x' })
})

test('an item that its applier leaves out goes, also when others have changed parts of it', () => {
  const withSide = web()
  const side = { name: 'side', image: 'two' }
  const template = (containers: readonly object[]): JsonObject => ({
    template: { metadata: { labels: { app: 'web' } }, spec: { containers } },
  })
  const main = { name: 'main', image: 'one' }
  const live = accepted(typed({}), web(template([main, side])), 'a')
  const changed = web(template([main, { ...side, workingDir: '/srv' }]))
  changed['metadata'] = {
    ...(withSide['metadata'] as object),
    uid: 'u',
    managedFields: trackUpdate(live, changed, context('controller')),
  }
  const after = accepted(changed, web(template([main])), 'a')
  const { spec } = (after['spec'] as { template: { spec: JsonObject } }).template
  assert.deepEqual(spec['containers'], [main])
  assert.deepEqual(owners(after), ['a/Apply'])
})

test('an empty list resets the owners, and through a subresource nobody sends any', () => {
  const live = accepted(typed({}), web(), 'a')
  const sent = (managedFields: unknown, more: JsonObject = {}): JsonObject =>
    typed({
      ...live,
      ...more,
      metadata: { ...(live['metadata'] as object), uid: 'u', managedFields },
    })
  const before = sent((live['metadata'] as JsonObject)['managedFields'])
  assert.deepEqual(trackUpdate(before, sent([]), context('b')), [])
  assert.deepEqual(trackUpdate(before, sent([{}]), context('b')), [])
  const foreign = {
    manager: 'x',
    operation: 'Update',
    apiVersion: 'apps/v1',
    fieldsType: 'FieldsV1',
  }
  const claimed = sent([{ ...foreign, fieldsV1: { 'f:spec': { 'f:paused': {} } } }], {
    status: { replicas: 1 },
  })
  const tracked = trackUpdate(before, claimed, context('b', { subresource: 'status' }))
  assert.deepEqual(
    tracked.map(({ manager }) => manager),
    ['a', 'b'],
  )
})

test('items of a list map are merged by their key and removed by it', () => {
  const ports = (list: JsonObject[]): JsonObject => ({
    metadata: { name: 'web' },
    spec: { template: { spec: { containers: [{ name: 'main', ports: list }] } } },
  })
  const live = accepted(accepted({}, web(), 'one'), ports([{ containerPort: 81 }]), 'two')
  const found = JSON.stringify(live['spec'])
  assert.match(found, /"containerPort":80/)
  assert.match(found, /"containerPort":81/)
  const after = accepted(live, { metadata: { name: 'web' } }, 'two')
  assert.doesNotMatch(JSON.stringify(after['spec']), /"containerPort":81/)
})

test('applying twice changes nothing, not even the time', () => {
  const once = accepted({}, web(), 'one')
  const again = applyConfiguration(once, web(), {
    ...context('one', { now: new Date('2027-01-01T00:00:00Z') }),
    force: false,
  })
  assert.ok(again.ok)
  assert.deepEqual(
    again.managedFields,
    (once['metadata'] as { managedFields: unknown }).managedFields,
  )
})

test('conflicts are told as kubectl shows them', () => {
  const created = typed(web())
  const live: JsonObject & { metadata: object } = {
    ...created,
    metadata: {
      ...(created['metadata'] as object),
      managedFields: trackUpdate(typed({}), created, context('hand')),
    },
  }
  const config = web({ replicas: 7 })
  const one = apply(live, config, 'two')
  assert.ok(!one.ok)
  assert.equal(
    one.message,
    'Apply failed with 1 conflict: conflict with "hand" using apps/v1: .spec.replicas',
  )
  const labelled = { ...config, metadata: { name: 'web', labels: { app: 'other' } } }
  const two = apply(live, labelled, 'two')
  assert.ok(!two.ok)
  assert.equal(
    two.message,
    'Apply failed with 2 conflicts: conflicts with "hand" using apps/v1:\n- .metadata.labels.app\n- .spec.replicas',
  )
})

test('what nobody is noted to own is not taken silently', () => {
  const live = { ...typed(web()), metadata: { name: 'web', uid: '1' } }
  const refused = apply(live, web({ replicas: 7 }), 'two')
  assert.ok(!refused.ok)
  assert.deepEqual(
    refused.causes.map(({ message, field }) => [message, field]),
    [['conflict with "before-first-apply" using apps/v1', '.spec.replicas']],
  )
})

test('a configuration is compared as it was written: without the defaults that the live one has', () => {
  const env = (more: object) => [
    { name: 'A', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName', ...more } } },
  ]
  const config = (more: object, cpu: string) =>
    web({
      template: {
        spec: { containers: [{ name: 'main', env: env(more), resources: { requests: { cpu } } }] },
      },
    })
  const created = typed(config({ apiVersion: 'v1' }, '100m'))
  const managedFields = trackUpdate(typed({}), created, context('hand'))
  const live: JsonObject = {
    ...created,
    metadata: { ...(created['metadata'] as object), managedFields },
  }
  const refused = apply(live, config({}, '0.1'), 'two')
  assert.ok(!refused.ok)
  const main = '.spec.template.spec.containers[name="main"]'
  assert.deepEqual(
    refused.causes.map(({ field }) => field),
    [`${main}.env[name="A"].valueFrom.fieldRef`, `${main}.resources.requests.cpu`],
  )
  assert.ok(apply(live, config({ apiVersion: 'v1' }, '100m'), 'two').ok)
})

test('what every object of a type has, nobody owned before the first apply', () => {
  const live = { ...typed({}), metadata: { uid: '1' } }
  const result = applyConfiguration(live, web(), {
    ...context('two'),
    zero: typed({}),
    force: false,
  })
  assert.ok(result.ok)
  assert.deepEqual(
    result.managedFields.map(({ manager }) => manager),
    ['two'],
  )
})

test('what was applied as empty is owned: who fills it asks its owner', () => {
  const labelled = (labels: object) => ({ ...web(), metadata: { name: 'web', labels } })
  const empty = accepted({}, labelled({}), 'one')
  // What is empty is not kept.
  const { labels: _, ...metadata } = empty['metadata'] as JsonObject
  const refused = apply({ ...empty, metadata }, labelled({ x: '1' }), 'two')
  assert.ok(!refused.ok)
  assert.deepEqual(
    refused.causes.map(({ field }) => field),
    ['.metadata.labels'],
  )
})

test('kubectl takes over what it applied from the client, and nobody else does', () => {
  const annotation = 'kubectl.kubernetes.io/last-applied-configuration'
  const created = typed(web())
  Object.assign(created['metadata'] as object, {
    annotations: { [annotation]: JSON.stringify(web()) },
  })
  const live: JsonObject & { metadata: object } = {
    ...created,
    metadata: {
      ...(created['metadata'] as object),
      managedFields: trackUpdate(typed({}), created, context('kubectl-client-side-apply')),
    },
  }
  assert.equal(apply(live, web({ replicas: 7 }), 'flux').ok, false)
  const result = accepted(live, web({ replicas: 7 }), 'kubectl')
  assert.equal((result['spec'] as JsonObject)['replicas'], 7)
  const { annotations } = result['metadata'] as { annotations: Record<string, string> }
  assert.equal(
    (JSON.parse(annotations[annotation] ?? '') as typeof live)['spec'] !== undefined,
    true,
  )
  assert.match(annotations[annotation] ?? '', /^\{"apiVersion":"apps\/v1".*"replicas":7.*\}\n$/)
  // What somebody else changed since is a conflict even so.
  const scaled: JsonObject = { ...live, spec: { ...(live['spec'] as object), replicas: 5 } }
  const managedFields = trackUpdate(live, scaled, context('scaler'))
  const taken = { ...scaled, metadata: { ...live.metadata, managedFields } }
  const refused = apply(taken, web({ replicas: 7 }), 'kubectl')
  assert.ok(!refused.ok)
  assert.match(refused.message, /"scaler"/)
})

test('an item that is there twice, or has no key, is refused by name', () => {
  const env = [{ name: 'A', value: '1' }, { value: '2' }, { name: 'A', value: '3' }]
  const config = web({ template: { spec: { containers: [{ name: 'main', env }] } } })
  assert.throws(
    () => apply({}, config, 'one'),
    (error: Error) => {
      const at = '.spec.template.spec.containers[name="main"].env'
      assert.equal(
        error.message,
        `failed to create typed patch object (/web; apps/v1, Kind=Deployment): ${at}: element 1: associative list with keys has an element that omits key field "name" (and doesn't have default value)\n${at}: duplicate entries for key [name="A"]`,
      )
      return true
    },
  )
})

test('more managers than ten updates are folded into one', () => {
  let live: JsonObject = typed(web())
  for (let i = 0; i < 15; i++) {
    const metadata = live['metadata'] as { labels: object }
    const next: JsonObject = {
      ...live,
      metadata: { ...metadata, labels: { ...metadata.labels, [`l${i}`]: 'x' } },
    }
    const at = new Date(now.getTime() + i * 60_000)
    const managedFields = trackUpdate(
      live,
      next,
      context(`m${String(i).padStart(2, '0')}`, { now: at }),
    )
    live = { ...next, metadata: { ...(next['metadata'] as object), managedFields } }
  }
  const { managedFields } = live['metadata'] as {
    managedFields: { manager: string; fieldsV1: object }[]
  }
  assert.equal(managedFields.length, 10)
  assert.equal(managedFields[0]?.manager, 'ancient-changes')
  assert.deepEqual(managedFields[0]?.fieldsV1, {
    'f:metadata': {
      'f:labels': { 'f:l0': {}, 'f:l1': {}, 'f:l2': {}, 'f:l3': {}, 'f:l4': {}, 'f:l5': {} },
    },
  })
})

const set: fc.Arbitrary<FieldSet> = fc.letrec<{ node: FieldSet }>((tie) => ({
  node: fc.dictionary(
    fc.constantFrom('f:a', 'f:b', 'k:{"n":"x"}'),
    fc.oneof({ maxDepth: 3 }, fc.constant({}), tie('node') as fc.Arbitrary<FieldSet>),
    { maxKeys: 3, noNullPrototype: true },
  ) as fc.Arbitrary<FieldSet>,
})).node

test('sets of fields obey the laws of sets', () => {
  fc.assert(
    fc.property(set, set, (a, b) => {
      assert.deepEqual(union(a, a), a)
      assert.ok(isEmptySet(difference(a, a)))
      assert.deepEqual(intersection(a, b), intersection(b, a))
      assert.deepEqual(
        union(difference(a, b), intersection(a, b)),
        union(intersection(a, b), difference(a, b)),
      )
      assert.ok(isEmptySet(intersection(difference(a, b), b)))
    }),
  )
})

/** What ownership means, for the labels of one object, in its simplest form. */
class Model {
  values = new Map<string, string>()
  owners = new Map<string, Set<string>>()

  apply(id: string, config: ReadonlyMap<string, string>, force: boolean): boolean {
    const changes = [...config].filter(([key, value]) => this.values.get(key) !== value)
    const isTaken = ([key]: readonly [string, string]): boolean =>
      [...this.ownersOf(key)].some((each) => each !== id)
    if (!force && changes.some(isTaken)) return false
    for (const [key, value] of changes) {
      this.values.set(key, value)
      this.owners.set(key, new Set())
    }
    for (const key of config.keys()) this.ownersOf(key).add(id)
    for (const [key, owners] of this.owners)
      if (!config.has(key) && owners.delete(id) && owners.size === 0) this.drop(key)
    return true
  }
  update(id: string, next: ReadonlyMap<string, string>): void {
    for (const key of this.values.keys()) if (!next.has(key)) this.drop(key)
    for (const [key, value] of next)
      if (this.values.get(key) !== value) {
        this.values.set(key, value)
        this.owners.set(key, new Set([id]))
      }
  }
  ownersOf(key: string): Set<string> {
    const owners = this.owners.get(key) ?? new Set()
    this.owners.set(key, owners)
    return owners
  }
  drop(key: string): void {
    this.values.delete(key)
    this.owners.delete(key)
  }
}

const labelSet = fc.dictionary(fc.constantFrom('a', 'b', 'c'), fc.constantFrom('1', '2'), {
  noNullPrototype: true,
})
const step = fc.record({
  manager: fc.constantFrom('one', 'two', 'three'),
  labels: labelSet,
  how: fc.constantFrom('apply', 'force', 'update'),
})

test('whoever applies and updates in whatever order, values and owners are those of the model', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
      const model = new Model()
      let live: JsonObject = { metadata: { name: 'web' } }
      for (const { manager, labels, how } of steps) {
        const given = new Map(Object.entries(labels))
        const config = { metadata: { name: 'web', labels } }
        if (how === 'update') {
          model.update(`${manager}/Update`, given)
          const { managedFields } = live['metadata'] as JsonObject
          const next = { metadata: { ...config.metadata, managedFields } } as JsonObject
          if (managedFields === undefined) delete (next['metadata'] as JsonObject)['managedFields']
          const entries = trackUpdate(live, next, context(manager))
          live = { metadata: { ...(next['metadata'] as object), managedFields: entries } }
          continue
        }
        const result = apply(live, config, manager, how === 'force')
        assert.equal(result.ok, model.apply(`${manager}/Apply`, given, how === 'force'))
        if (!result.ok) continue
        const { object, managedFields } = result
        live = { metadata: { ...(object['metadata'] as object), managedFields } }
        // Applying the same again is accepted, and changes nothing.
        const again = apply(live, config, manager)
        assert.ok(again.ok)
        assert.deepEqual(again.managedFields, managedFields)
      }
      const { labels = {}, managedFields = [] } = live['metadata'] as {
        labels?: object
        managedFields?: { manager: string; operation: string; fieldsV1: object }[]
      }
      assert.deepEqual(new Map(Object.entries(labels)), new Map(model.values))
      for (const key of model.values.keys()) {
        const owning = managedFields.filter(({ fieldsV1 }) =>
          JSON.stringify(fieldsV1).includes(`"f:${key}"`),
        )
        assert.deepEqual(
          new Set(owning.map((entry) => `${entry.manager}/${entry.operation}`)),
          model.ownersOf(key),
        )
      }
    }),
    { numRuns: 500 },
  )
})

test('what held nothing but what is no longer applied goes with it', () => {
  const inner = (more: JsonObject): JsonObject => ({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'web' },
    spec: { paused: true, template: { spec: { ...more } } },
  })
  const first = accepted(
    inner({}),
    inner({ securityContext: { runAsUser: 1 }, nodeSelector: { disk: 'fast' } }),
    'one',
  )
  const next = accepted(first, inner({}), 'one')
  assert.deepEqual(next['spec'], { paused: true, template: { spec: {} } })
  // Unless another owns it as well.
  const shared = accepted(first, inner({ securityContext: {} }), 'two')
  const left = accepted(shared, inner({}), 'one')
  assert.deepEqual(left['spec'], { paused: true, template: { spec: { securityContext: {} } } })
})

test('conflicts are named from the outside in, each in the order of its letters', () => {
  const config = (replicas: number, image: string): JsonObject => ({
    ...web(),
    spec: {
      minReadySeconds: replicas,
      replicas,
      template: { spec: { containers: [{ name: 'main', image }], hostNetwork: replicas === 1 } },
    },
  })
  const live = accepted(web(), config(1, 'one'), 'one')
  const refused = apply(live, config(2, 'two'), 'two')
  assert.ok(!refused.ok)
  assert.deepEqual(
    refused.causes.map(({ field }) => field),
    [
      '.spec.minReadySeconds',
      '.spec.replicas',
      '.spec.template.spec.hostNetwork',
      '.spec.template.spec.containers[name="main"].image',
    ],
  )
})

test('a field may take apart what its type calls a whole', () => {
  const volume = shapeOf(types, 'io.k8s.api.core.v1.PersistentVolume')
  const config = { spec: { claimRef: { name: 'data', namespace: 'shop' } } }
  const [entry] = trackUpdate({ spec: {} } as JsonObject, config as JsonObject, {
    ...context('binder'),
    shape: volume,
    apiVersion: 'v1',
  })
  assert.deepEqual(entry?.fieldsV1, {
    'f:spec': { 'f:claimRef': { '.': {}, 'f:name': {}, 'f:namespace': {} } },
  })
})

test('what a type keeps as it came is owned as a whole', () => {
  const shape = shapeOf(types, 'io.k8s.api.apps.v1.ControllerRevision')
  const revision: JsonObject = { metadata: {}, revision: 1, data: { spec: { template: { a: 1 } } } }
  const [entry] = trackUpdate({ metadata: {} }, revision, { ...context('one'), shape })
  assert.deepEqual(entry?.fieldsV1, { 'f:data': {}, 'f:revision': {} })
})
