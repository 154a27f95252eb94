import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { CelError, compileCel } from './index.ts'

const budget = () => ({ perCall: 1_000_000, remaining: 10_000_000 })

/** Compiles and evaluates: anything but a result, a failure or a CelError is a defect. */
function tried(source: string, values: Readonly<Record<string, unknown>> = {}): unknown {
  const program = compileCel(source, {
    variables: Object.fromEntries(Object.keys(values).map((name) => [name, 'dyn'])),
    bindings: true,
  })
  if ('failure' in program) return program.failure
  program.estimate()
  try {
    return program.evaluate(values, budget()).value
  } catch (error) {
    assert.ok(error instanceof CelError, String(error))
    return error.message
  }
}

test('long chains and deep nesting end with an answer', () => {
  for (const source of [
    '['.repeat(50_000),
    `${'('.repeat(40_000)}1${')'.repeat(40_000)}`,
    `a${'.b'.repeat(40_000)}`,
    `a${'[0]'.repeat(30_000)}`,
    `${'true ? '.repeat(10_000)}1`,
    `1${' < 1'.repeat(20_000)}`,
    `${'x.map(x, '.repeat(5000)}1`,
  ])
    assert.match(String(tried(source, { a: {}, x: [1] })), /recursion limit|Syntax error/)
  assert.equal(tried(`true${' && true'.repeat(12_000)}`), true)
  assert.equal(tried(`[${'1,'.repeat(49_000)}].size()`), 49_000)
})

test('what grows by itself is stopped by its cost', () => {
  const doubled = Array.from({ length: 40 }).reduce<string>(
    (inner, _, i) => `cel.bind(a${i}, ${inner}, a${i} + a${i})`,
    "'0123456789'",
  )
  assert.match(String(tried(doubled)), /cost limit exceeded|too large/)
  const optional = `optional.of(1)${'.optMap(x, x)'.repeat(40)}.value()`
  assert.match(String(tried(optional)), /cost limit exceeded/)
  const nested = '[1,2,3,4,5,6,7,8,9]'
  const loops = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'].reduce(
    (body, name) => `${nested}.all(${name}, ${body})`,
    'true',
  )
  assert.match(String(tried(loops)), /cost limit exceeded/)
})

test('what shares its parts is not gone through without end', () => {
  const twice = `[1]${'.map(a, [a, a])'.repeat(40)}`
  assert.match(String(tried(`${twice} == ${twice}`)), /cost limit exceeded/)
  assert.match(String(tried(twice)), /cost limit exceeded/)
  assert.match(String(tried(`"%s".format([${twice}])`)), /cost limit exceeded/)
  const maps = Array.from({ length: 200 }).reduce<string>(
    (inner, _, i) => `cel.bind(a${200 - i}, {a${199 - i}: a${199 - i}}, ${inner})`,
    '1',
  )
  assert.match(String(tried(`cel.bind(a0, {1: 1}, ${maps})`)), /unsupported key|undeclared|1/)
})

test('expressions of many parts are compiled at once', () => {
  for (const part of ['1 == 1', 'size([1])', '[]', '[1].all(x, x == 1)', 'absent'])
    tried(`[${`${part},`.repeat(Math.floor(90_000 / (part.length + 1)))}]`)
})

test('patterns that make other engines hang do not', () => {
  assert.equal(tried('x.matches("^(a+)+$")', { x: `${'a'.repeat(100_000)}!` }), false)
  assert.match(String(tried('"a".matches(x)', { x: '(' })), /error parsing regexp/)
  assert.match(String(tried('"a".matches(x)', { x: 'a{1000}{1000}' })), /error parsing regexp/)
  assert.match(String(tried('"a".find("(")')), /error parsing regexp/)
})

test('names of Object.prototype are names like others', () => {
  assert.equal(tried('has(x.constructor)', { x: {} }), false)
  assert.equal(tried('"__proto__" in x', { x: {} }), false)
  assert.equal(tried('x.toString', { x: {} }), 'no such key: toString')
  assert.equal(tried('x.constructor', { x: { constructor: 1 } }), 1)
})

const ATOMS = `1 0 -1 9223372036854775807 2u 1.5 "a" b'x' true null [] {} x x.a [1,2] {"a":1} dyn(1)
  timestamp("2020-01-01T00:00:00Z") duration("1h") optional.none() type(1) quantity("1Gi") ip("::1")`
const atoms = fc.constantFrom(...ATOMS.split(/\s+/))
const expressions = fc.letrec<{ readonly any: string }>((tie) => ({
  any: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    atoms,
    fc
      .tuple(
        tie('any'),
        fc.constantFrom('+', '-', '*', '/', '%', '==', '!=', '<', '>=', '&&', '||', 'in'),
        tie('any'),
      )
      .map(([a, sign, b]) => `(${a} ${sign} ${b})`),
    fc.tuple(tie('any'), tie('any'), tie('any')).map(([a, b, c]) => `(${a} ? ${b} : ${c})`),
    fc.tuple(tie('any'), tie('any')).map(([a, b]) => `${a}[${b}]`),
    fc.tuple(tie('any'), tie('any')).map(([a, b]) => `${a}.map(y, ${b})`),
    fc.tuple(tie('any'), tie('any')).map(([a, b]) => `${a}.exists(y, y == ${b})`),
    fc
      .tuple(fc.constantFrom('size', 'string', 'int', 'double', 'type', '!', '-'), tie('any'))
      .map(([name, a]) => `${name}(${a})`),
  ),
}))

test('an expression ends with a value or says why not, and costs no more than was estimated', () => {
  fc.assert(
    fc.property(expressions.any, fc.jsonValue({ maxDepth: 2 }), (source, x) => {
      const program = compileCel(source, { variables: { x: 'dyn' } })
      if ('failure' in program) return
      const { min, max } = program.estimate()
      assert.ok(min <= max)
      try {
        const { cost } = program.evaluate({ x }, budget())
        assert.ok(cost >= 0)
        // The same again: nothing is left over from the time before.
        assert.equal(program.evaluate({ x }, budget()).cost, cost)
      } catch (error) {
        assert.ok(error instanceof CelError, String(error))
      }
    }),
    { numRuns: 500 },
  )
})

test('whatever is written is read or refused', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 60 }), (source) => {
      tried(source)
    }),
    { numRuns: 500 },
  )
})

test('ints of 64 bits are exact, or overflow', () => {
  const int = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
  const programs = new Map(
    ['+', '-', '*'].map((sign) => [
      sign,
      compileCel(`a ${sign} b`, { variables: { a: 'int', b: 'int' } }),
    ]),
  )
  const exact: Readonly<Record<string, (a: bigint, b: bigint) => bigint>> = {
    '+': (a, b) => a + b,
    '-': (a, b) => a - b,
    '*': (a, b) => a * b,
  }
  const plain = (value: bigint): number | bigint =>
    Number.isSafeInteger(Number(value)) ? Number(value) : value
  fc.assert(
    fc.property(int, int, fc.constantFrom('+', '-', '*'), (a, b, sign) => {
      const program = programs.get(sign)
      assert.ok(program !== undefined && !('failure' in program))
      const wanted = exact[sign]?.(a, b) ?? 0n
      const fits = wanted >= -(2n ** 63n) && wanted < 2n ** 63n
      try {
        const { value } = program.evaluate({ a: plain(a), b: plain(b) }, budget())
        assert.ok(fits)
        assert.equal(BigInt(Number.isInteger(value) ? Number(value) : String(value)), wanted)
      } catch (error) {
        assert.ok(!fits && error instanceof CelError, String(error))
      }
    }),
  )
})
