import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CelError, compileCel, type CelOptions, type CelProgram } from './index.ts'

const budget = () => ({ perCall: 1_000_000, remaining: 10_000_000 })

function program(source: string, options: Partial<CelOptions> = {}): CelProgram {
  const compiled = compileCel(source, { variables: {}, bindings: true, ...options })
  assert.ok(!('failure' in compiled), 'failure' in compiled ? compiled.failure : '')
  return compiled
}
const evaluate = (source: string, values: Record<string, unknown> = {}): unknown =>
  program(source, {
    variables: Object.fromEntries(Object.keys(values).map((name) => [name, 'dyn'])),
  }).evaluate(values, budget()).value
const failure = (source: string, options: Partial<CelOptions> = {}): string => {
  const compiled = compileCel(source, { variables: {}, ...options })
  assert.ok('failure' in compiled, `${source} compiles`)
  return compiled.failure
}

const spec = {
  type: 'object',
  properties: {
    replicas: { type: 'integer' },
    name: { type: 'string', maxLength: 10 },
    'a-b': { type: 'string' },
    namespace: { type: 'string' },
    ratio: { type: 'number' },
    at: { type: 'string', format: 'date-time' },
    tags: { type: 'array', items: { type: 'string' }, 'x-kubernetes-list-type': 'set' },
    port: { 'x-kubernetes-int-or-string': true },
  },
} as const
const self = { variables: { self: { schema: spec } } }
const typed = (source: string, value: unknown): unknown =>
  program(source, self).evaluate({ self: value }, budget()).value

test('operators do what CEL says', () => {
  assert.equal(evaluate('1 + 2 * 3 == 7 && !(1 > 2)'), true)
  assert.equal(evaluate('"a" + "b" in ["ab", "c"]'), true)
  assert.equal(evaluate('-7 / 2'), -3)
  assert.equal(evaluate('-7 % 2'), -1)
  assert.equal(evaluate('9223372036854775807'), 9223372036854775807n)
  assert.equal(evaluate('dyn(1) == 1.0 && 1 < 1.5'), true)
  assert.equal(evaluate('{"a": 1}["a"]'), 1)
  assert.deepEqual(evaluate('[1, 2, 3].filter(x, x > 1).map(x, x * 2)'), [4, 6])
})

test('macros go through lists and maps', () => {
  assert.equal(evaluate('x.all(k, x[k] > 0)', { x: { a: 1, b: 2 } }), true)
  assert.equal(evaluate('[1, 2].exists_one(x, x == 1)'), true)
  assert.equal(evaluate('[1, 2].exists(i, v, i == 1 && v == 2)'), true)
  assert.deepEqual(evaluate('{"a": 1}.transformMap(k, v, v + 1)'), { a: 2 })
  assert.equal(evaluate('cel.bind(x, 3, x * x)'), 9)
  assert.equal(evaluate('optional.of(3).optMap(x, x + 1).orValue(0)'), 4)
})

test('a failure does not matter where the other side decides', () => {
  assert.equal(evaluate('x.missing == 1 || true', { x: {} }), true)
  assert.equal(evaluate('[1, 0].exists(x, 1 / x == 1)'), true)
  assert.throws(() => evaluate('x.missing == 1 && true', { x: {} }), {
    message: 'no such key: missing',
  })
})

test('what overflows fails', () => {
  assert.throws(() => evaluate('9223372036854775807 + 1'), { message: 'integer overflow' })
  assert.throws(() => evaluate('1 / 0'), { message: 'division by zero' })
  assert.throws(() => evaluate('9007199254740993 * 9007199254740993'), CelError)
  assert.equal(evaluate('9007199254740991 + 2'), 9007199254740993n)
})

test('a schema gives types, names and conversions', () => {
  assert.equal(
    typed('self.replicas > 1 && self.name.startsWith("w")', { replicas: 2, name: 'web' }),
    true,
  )
  assert.equal(typed('self.a__dash__b + self.__namespace__', { 'a-b': 'x', namespace: 'y' }), 'xy')
  assert.equal(typed('self.ratio == 1.0', { ratio: 1 }), true)
  assert.equal(
    typed('self.at < timestamp("2030-01-01T00:00:00Z")', { at: '2020-01-01T00:00:00Z' }),
    true,
  )
  assert.equal(typed('self.tags == ["b", "a"]', { tags: ['a', 'b'] }), true)
  assert.equal(typed('has(self.name)', {}), false)
  assert.equal(typed('self.port == "http" || self.port > 80', { port: 8080 }), true)
})

test('lists of a schema that are sets or maps are compared and added as such', () => {
  const ports = {
    type: 'array',
    'x-kubernetes-list-type': 'map',
    'x-kubernetes-list-map-keys': ['name'],
    items: { type: 'object', properties: { name: { type: 'string' }, port: { type: 'integer' } } },
  }
  const schema = { type: 'object', properties: { ...spec.properties, ports } }
  const run = (source: string, now: unknown, before: unknown): unknown =>
    program(source, { variables: { self: { schema }, oldSelf: { schema } } }).evaluate(
      { self: now, oldSelf: before },
      budget(),
    ).value
  const [a, b, other] = [
    { name: 'a', port: 1 },
    { name: 'b', port: 2 },
    { name: 'a', port: 3 },
  ]
  assert.equal(run('self == oldSelf', { ports: [a, b] }, { ports: [b, a] }), true)
  assert.equal(run('self.ports != oldSelf.ports', { ports: [a] }, { ports: [other] }), true)
  assert.deepEqual(run('self.ports + oldSelf.ports', { ports: [a] }, { ports: [b, other] }), [
    other,
    b,
  ])
  assert.deepEqual(run('self.tags + oldSelf.tags', { tags: ['x', 'y'] }, { tags: ['y', 'z'] }), [
    'x',
    'y',
    'z',
  ])
})

test('what does not fit is said where it stands', () => {
  assert.equal(
    failure('self.replicas + "x" == 1', self),
    "compilation failed: ERROR: <input>:1:15: found no matching overload for '_+_' applied to '(int, string)'\n | self.replicas + \"x\" == 1\n | ..............^",
  )
  assert.equal(
    failure('self.missing', self),
    "compilation failed: ERROR: <input>:1:5: undefined field 'missing'\n | self.missing\n | ....^",
  )
  assert.equal(
    failure('x'),
    "compilation failed: ERROR: <input>:1:1: undeclared reference to 'x' (in container '')\n | x\n | ^",
  )
  assert.equal(failure('1', { returns: 'bool' }), 'must evaluate to bool but got int')
  assert.match(
    failure('1 +'),
    /^compilation failed: ERROR: <input>:1:4: Syntax error: mismatched input '<EOF>' expecting/,
  )
})

test('patterns, durations and timestamps that are written down are read before anything is evaluated', () => {
  assert.equal(
    failure('"a".matches("(")'),
    'compilation failed: ERROR: <input>:1:13: invalid matches argument\n | "a".matches("(")\n | ............^',
  )
  assert.match(
    failure('duration("1 hour") > duration("1h")'),
    /<input>:1:10: invalid duration argument/,
  )
  assert.match(failure('timestamp("today") > timestamp(0)'), /invalid timestamp argument/)
})

test('costs are counted and bounded', () => {
  assert.equal(
    program('self.replicas == 1', self).evaluate({ self: { replicas: 1 } }, budget()).cost,
    3,
  )
  const long = program('x.all(a, x.all(b, x.all(c, a == b || b == c || true)))', {
    variables: { x: 'list<int>' },
  })
  const shared = budget()
  assert.throws(() => long.evaluate({ x: Array.from({ length: 1000 }, (_, i) => i) }, shared), {
    message: 'operation cancelled: actual cost limit exceeded',
  })
  assert.ok(shared.remaining < 9_000_001)
  assert.deepEqual(program('self.name == "a"', self).estimate(), { min: 3, max: 3 })
  assert.deepEqual(program('self.tags.all(x, x == self.name)', self).estimate(), {
    min: 3,
    max: 1_048_575 * 10 + 3,
  })
})
