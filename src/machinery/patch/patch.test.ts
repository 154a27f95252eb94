import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import fc from 'fast-check'
import type { TypeTable } from '../facts.ts'
import { applyJsonPatch, equal } from './json.ts'
import { applyMergePatch } from './merge.ts'
import { applyStrategicPatch } from './strategic.ts'
import { StatusError } from '../status.ts'

const { types } = JSON.parse(
  readFileSync(new URL('../../../facts/types.json', import.meta.url), 'utf8'),
) as { types: TypeTable }
const strategic = (target: unknown, patch: unknown, kind = 'core.v1.Pod'): unknown =>
  applyStrategicPatch(types, `io.k8s.api.${kind}`, target, patch)
const containers = (...names: string[]): object => ({
  spec: { containers: names.map((name) => ({ name, image: 'old' })) },
})
const namesOf = (pod: unknown): string[] =>
  (pod as { spec: { containers: { name: string }[] } }).spec.containers.map(({ name }) => name)
const refused = (run: () => unknown, code: number, message: RegExp): void => {
  assert.throws(run, (error) => {
    assert.ok(error instanceof StatusError)
    assert.equal(error.code, code)
    assert.match(error.message, message)
    return true
  })
}

test('the examples of RFC 7386 come out as it says', () => {
  const cases: readonly (readonly [unknown, unknown, unknown])[] = [
    [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
    [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
    [{ a: 'b' }, { a: null }, {}],
    [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
    [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
    [{ a: 'c' }, { a: ['b'] }, { a: ['b'] }],
    [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
    [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
    [
      ['a', 'b'],
      ['c', 'd'],
      ['c', 'd'],
    ],
    [{ a: 'b' }, ['c'], ['c']],
    [{ a: 'foo' }, null, null],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [[1, 2], { a: 'b', c: null }, { a: 'b' }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ]
  for (const [target, patch, wanted] of cases)
    assert.deepEqual(applyMergePatch(target, patch), wanted)
})

const json = fc.jsonValue({ maxDepth: 3, noUnicodeString: false }) as fc.Arbitrary<unknown>
const object = fc.dictionary(fc.constantFrom('a', 'b', 'c', '__proto__'), json, {
  noNullPrototype: true,
})

test('a merge patch is the same twice, never changes its target, and leaves no null of its own', () => {
  fc.assert(
    fc.property(object, object, (target, patch) => {
      const before = JSON.stringify(target)
      const once = applyMergePatch(target, patch)
      assert.equal(JSON.stringify(target), before)
      assert.ok(equal(applyMergePatch(once, patch), once))
      for (const key of Object.keys(patch))
        assert.equal(Object.hasOwn(once as object, key), patch[key] !== null)
    }),
  )
})

test('each operation of a JSON patch does what RFC 6902 says', () => {
  const patch = (...operations: unknown[]): unknown =>
    applyJsonPatch({ a: [1, 2], 'x/y': { '~': 1 } }, operations)
  assert.deepEqual(patch({ op: 'add', path: '/a/1', value: 9 }), {
    a: [1, 9, 2],
    'x/y': { '~': 1 },
  })
  assert.deepEqual(patch({ op: 'add', path: '/a/-', value: 9 }), {
    a: [1, 2, 9],
    'x/y': { '~': 1 },
  })
  assert.deepEqual(patch({ op: 'replace', path: '/x~1y/~0', value: 2 }), {
    a: [1, 2],
    'x/y': { '~': 2 },
  })
  assert.deepEqual(patch({ op: 'move', from: '/a/0', path: '/b' }), {
    a: [2],
    'x/y': { '~': 1 },
    b: 1,
  })
  assert.deepEqual(patch({ op: 'copy', from: '/a', path: '/b' }), {
    a: [1, 2],
    'x/y': { '~': 1 },
    b: [1, 2],
  })
  assert.deepEqual(
    patch({ op: 'remove', path: '/a' }, { op: 'test', path: '/x~1y/~0', value: 1 }),
    {
      'x/y': { '~': 1 },
    },
  )
})

test('a JSON patch that cannot be done says what, with 422', () => {
  const patch = (operation: unknown): unknown => applyJsonPatch({ a: [1], b: 'x' }, [operation])
  refused(() => patch({ op: 'remove', path: '/c' }), 422, /nonexistent key: c/)
  refused(() => patch({ op: 'replace', path: '/a/1', value: 0 }), 422, /invalid index: 1/)
  refused(() => patch({ op: 'add', path: '/a/3', value: 0 }), 422, /invalid index: 3/)
  refused(() => patch({ op: 'add', path: '/a/x', value: 0 }), 422, /no index/)
  refused(() => patch({ op: 'add', path: '/b/c', value: 0 }), 422, /missing path: "\/b\/c"/)
  refused(() => patch({ op: 'add', path: '/c/d', value: 0 }), 422, /missing path: "\/c\/d"/)
  refused(() => patch({ op: 'add', path: '', value: {} }), 422, /missing path: ""/)
  refused(() => patch({ op: 'move', from: '/c', path: '/d' }), 422, /nonexistent key: c/)
  refused(() => patch({ op: 'test', path: '/a/0', value: 2 }), 422, /testing value \/a\/0 failed/)
  refused(() => patch({ op: 'twist', path: '/a' }), 422, /Unexpected kind: twist/)
  refused(() => patch({ op: 'add', path: 'a', value: 1 }), 422, /missing path: "a"/)
  refused(() => patch({ op: 'add' }), 422, /failed to decode path/)
  refused(() => patch('add'), 400, /array/)
  refused(() => applyJsonPatch({}, { op: 'add' }), 400, /array/)
})

test('where the library of Kubernetes is laxer than the standard, a JSON patch may do as much', () => {
  const patch = (...operations: unknown[]): unknown =>
    applyJsonPatch({ labels: { a: '1' }, list: [1, 2] }, operations)
  // What is not there may be replaced, tested for null, and copied as null.
  assert.deepEqual(patch({ op: 'replace', path: '/labels/b', value: '2' }), {
    labels: { a: '1', b: '2' },
    list: [1, 2],
  })
  assert.deepEqual(
    patch(
      { op: 'test', path: '/labels/b', value: null },
      { op: 'test', path: '/labels/b' },
      { op: 'copy', from: '/labels/b', path: '/c' },
    ),
    { labels: { a: '1' }, list: [1, 2], c: null },
  )
  // Negative numbers count from the end.
  assert.deepEqual(
    patch(
      { op: 'replace', path: '/list/-1', value: 3 },
      { op: 'add', path: '/list/-1', value: 4 },
      { op: 'remove', path: '/list/-3' },
    ),
    { labels: { a: '1' }, list: [3, 4] },
  )
})

test('a merge patch leaves nulls out of the lists that it sets', () => {
  const list = [{ a: 1, b: null }, null, [{ c: null }]]
  assert.deepEqual(applyMergePatch({ list: ['old'] }, { list, new: list }), {
    list: [{ a: 1 }, null, [{}]],
    new: [{ a: 1 }, null, [{}]],
  })
})

test('what a JSON patch adds, it can test, and removing it gives the target again', () => {
  fc.assert(
    fc.property(
      object,
      fc.constantFrom('k', '__proto__', 'a~b', 'a/b'),
      json,
      (target, key, value) => {
        fc.pre(!Object.hasOwn(target, key))
        const path = `/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`
        const added = applyJsonPatch(target, [
          { op: 'add', path, value },
          { op: 'test', path, value },
        ])
        assert.ok(equal(applyJsonPatch(added, [{ op: 'remove', path }]), structuredClone(target)))
      },
    ),
  )
})

test('a strategic patch finds items of a list by their merge key', () => {
  const patch = { spec: { containers: [{ name: 'b', image: 'new' }] } }
  assert.deepEqual(strategic(containers('a', 'b'), patch), {
    spec: {
      containers: [
        { name: 'a', image: 'old' },
        { name: 'b', image: 'new' },
      ],
    },
  })
})

test('what a strategic patch adds comes first, and what it names has its order', () => {
  const named = (...names: string[]): object => ({
    spec: { containers: names.map((name) => ({ name })) },
  })
  assert.deepEqual(namesOf(strategic(containers('a'), named('new'))), ['new', 'a'])
  assert.deepEqual(namesOf(strategic(containers('a', 'b', 'c'), named('c', 'a'))), ['b', 'c', 'a'])
  const ordered = (names: string[], ...order: string[]): object => ({
    spec: {
      '$setElementOrder/containers': order.map((name) => ({ name })),
      ...(names.length === 0 ? {} : { containers: names.map((name) => ({ name })) }),
    },
  })
  const target = containers('a', 'b', 'c')
  assert.deepEqual(namesOf(strategic(target, ordered([], 'c', 'b', 'a'))), ['c', 'b', 'a'])
  assert.deepEqual(namesOf(strategic(target, ordered(['d'], 'a', 'd', 'c'))), ['a', 'd', 'b', 'c'])
})

test('the directives of strategic patches delete, replace and retain', () => {
  const target = containers('a', 'b')
  assert.deepEqual(
    namesOf(strategic(target, { spec: { containers: [{ name: 'a', $patch: 'delete' }] } })),
    ['b'],
  )
  assert.deepEqual(
    namesOf(strategic(target, { spec: { containers: [{ $patch: 'replace' }, { name: 'x' }] } })),
    ['x'],
  )
  assert.deepEqual(strategic(target, { spec: { $patch: 'replace', hostNetwork: true } }), {
    spec: { hostNetwork: true },
  })
  assert.deepEqual(strategic(target, { spec: { $patch: 'delete' } }), { spec: {} })
  assert.deepEqual(strategic({}, { spec: { $patch: 'delete' } }), {})
  assert.deepEqual(
    strategic(
      { metadata: { finalizers: ['a', 'b', 'c'] } },
      { metadata: { '$deleteFromPrimitiveList/finalizers': ['b'], finalizers: ['d'] } },
    ),
    { metadata: { finalizers: ['d', 'a', 'c'] } },
  )
  const strategy = { spec: { strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1 } } } }
  assert.deepEqual(
    strategic(
      strategy,
      { spec: { strategy: { $retainKeys: ['type'], type: 'Recreate' } } },
      'apps.v1.Deployment',
    ),
    { spec: { strategy: { type: 'Recreate' } } },
  )
})

test('a strategic patch of a bad form is refused', () => {
  const patch = (spec: unknown) => () => strategic(containers('a'), { spec })
  refused(
    patch({ $patch: 'twist' }),
    500,
    /^unknown patch type: twist in map: map\[\$patch:twist\]$/,
  )
  refused(patch({ containers: [{ image: 'x' }] }), 500, /does not contain declared merge key: name/)
  refused(patch({ $retainKeys: ['a'], hostNetwork: true }), 400, /retainKeys/)
  const order = (order: unknown, ...containers: unknown[]) =>
    patch({ '$setElementOrder/containers': order, containers })
  refused(order('a'), 500, /^expected a \[\]interface \{\}, but received a string$/)
  refused(order(['a'], { name: 'a' }), 500, /^expected a map\[string\]interface \{\}, but received/)
  refused(
    order([{ name: 'b' }], { name: 'c' }),
    500,
    /^The order in patch list:\n\[map\[name:c\]\]\n doesn't match \$setElementOrder list:\n\[map\[name:b\]\]\n$/,
  )
  refused(patch({ containers: [{ name: 'a', $patch: 'merge' }] }), 500, /cannot yet be specified/)
  refused(patch({ containers: [{ name: 'a' }, 1] }), 500, /^list element types are not identical: /)
  refused(
    patch({ '$setElementOrder/nope': [] }),
    500,
    /^unable to find api field in struct PodSpec for the json field "nope"$/,
  )
  refused(() => strategic({}, []), 400, /^json: cannot unmarshal array into Go value of type map/)
})

test('lists without a merge key are replaced, maps are merged, keys like __proto__ are kept', () => {
  assert.deepEqual(
    strategic(
      { spec: { containers: [{ name: 'a', args: ['1', '2'] }] } },
      { spec: { containers: [{ name: 'a', args: ['3'] }] } },
    ),
    { spec: { containers: [{ name: 'a', args: ['3'] }] } },
  )
  const merged = strategic(
    { data: { a: '1' } },
    JSON.parse('{"data":{"__proto__":"x","a":null}}'),
    'core.v1.ConfigMap',
  )
  assert.equal(JSON.stringify(merged), '{"data":{"__proto__":"x"}}')
})

const podNames = fc.uniqueArray(fc.constantFrom<string[]>('a', 'b', 'c', 'd', 'e'), {
  minLength: 1,
})

test('a strategic patch loses and doubles nothing, and is the same twice', () => {
  fc.assert(
    fc.property(podNames, podNames, (old, given) => {
      const target = containers(...old)
      const patch = { spec: { containers: given.map((name) => ({ name, image: 'new' })) } }
      const once = strategic(target, patch)
      assert.deepEqual(namesOf(once).toSorted(), [...new Set([...old, ...given])].toSorted())
      assert.deepEqual(
        namesOf(once).filter((name) => given.includes(name)),
        given,
      )
      assert.deepEqual(strategic(once, patch), once)
    }),
  )
})
