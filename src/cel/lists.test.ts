import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CelError, compileCel, type CelOptions } from './index.ts'

const budget = () => ({ perCall: 1_000_000, remaining: 10_000_000 })

function evaluate(source: string, options: Partial<CelOptions> = {}): unknown {
  const compiled = compileCel(source, { variables: {}, ...options })
  assert.ok(!('failure' in compiled), 'failure' in compiled ? compiled.failure : '')
  try {
    return compiled.evaluate({}, budget()).value
  } catch (error) {
    assert.ok(error instanceof CelError, String(error))
    return error.message
  }
}
const failure = (source: string, options: Partial<CelOptions> = {}): string => {
  const compiled = compileCel(source, { variables: {}, ...options })
  assert.ok('failure' in compiled, `${source} compiles`)
  return compiled.failure
}

test('lists are cut, turned round, made flat and sorted', () => {
  assert.deepEqual(evaluate('[1, 2, 3, 4].slice(1, 3)'), [2, 3])
  assert.deepEqual(evaluate('[5, 3, 1, 2].reverse()'), [2, 1, 3, 5])
  assert.deepEqual(evaluate('[[1], [2, 3], []].flatten()'), [1, 2, 3])
  assert.deepEqual(evaluate('[[[1]], [[2, 3]]].flatten(2)'), [1, 2, 3])
  assert.deepEqual(evaluate('["b", "b", "c", "a", "c"].distinct()'), ['b', 'c', 'a'])
  assert.deepEqual(evaluate('["b", "c", "a"].sort()'), ['a', 'b', 'c'])
  assert.deepEqual(evaluate('["aaa", "b", "cc"].sortBy(x, size(x))'), ['b', 'cc', 'aaa'])
  assert.deepEqual(evaluate('[[2, 1], [1]].sortBy(x, x.sortBy(y, -y)[0])'), [[1], [2, 1]])
  assert.deepEqual(evaluate('lists.range(3)'), [0, 1, 2])
  assert.deepEqual(evaluate('[].sort() == [].distinct()'), true)
})

test('what they cannot do they say', () => {
  assert.equal(evaluate('[1].slice(0, 2)'), 'cannot slice(0, 2), list is length 1')
  assert.equal(
    evaluate('[1].slice(1, 0)'),
    'cannot slice(1, 0), start index must be less than or equal to end index',
  )
  assert.equal(evaluate('[1].slice(-1, 0)'), 'cannot slice(-1, 0), negative indexes not supported')
  assert.equal(evaluate('[[1]].flatten(-1)'), 'level must be non-negative')
  assert.equal(evaluate('[dyn(1), dyn("b")].sort()'), 'list elements must have the same type')
  assert.equal(evaluate('lists.range(-1)'), 'lists.range: size must be non-negative, got -1')
  assert.match(failure('"abc".reverse()'), /no matching overload for 'reverse'/)
  assert.match(failure('[[1]].sort()'), /no matching overload for 'sort'/)
  assert.match(failure('{"a": 1}.sortBy(x, x)'), /sortBy can only be applied to a list/)
})

test('work that grows with the square of a list is refused before it is done', () => {
  const started = performance.now()
  assert.match(String(evaluate('lists.range(500000).distinct().size()')), /cost limit exceeded/)
  assert.match(
    String(evaluate(`[1]${'.map(a, [a, a])'.repeat(40)}.flatten(50).size()`)),
    /cost limit exceeded/,
  )
  assert.ok(performance.now() - started < 5000)
})

test('lists have a first and a last element, or none', () => {
  assert.equal(evaluate('[1, 2].first().value() + [1, 2].last().value()'), 3)
  assert.equal(evaluate('[].last().hasValue()'), false)
  assert.deepEqual(evaluate('[optional.of(1), optional.none()].unwrapOpt()'), [1])
  assert.deepEqual(evaluate('optional.unwrap([optional.none(), optional.of(2)])'), [2])
})

test('some functions are only where Kubernetes has them', () => {
  assert.match(failure('cel.bind(x, 1, x == 1)'), /undeclared reference to 'cel'/)
  assert.equal(evaluate('cel.bind(x, 1, x == 1)', { bindings: true }), true)
  assert.match(failure('jsonpatch.escapeKey("a/b")'), /undeclared reference to 'jsonpatch'/)
  assert.equal(evaluate('jsonpatch.escapeKey("a/b")', { mutates: true }), 'a~1b')
})

test('a call that does not fit is told, whatever else is wrong with its arguments', () => {
  const told = failure('timestamp("2020-01-01T00:00:00Z").matches("^" + 1)')
  assert.match(told, /'matches' applied to 'timestamp.\(!error!\)'/)
  assert.match(told, /'_\+_' applied to '\(string, int\)'/)
})

test('texts are made of values as Kubernetes makes them', () => {
  const text = (pattern: string, ...values: readonly string[]): unknown =>
    evaluate(`'${pattern}'.format([${values.join(', ')}])`)
  assert.equal(text('%s', '["a", "b"]'), '["a", "b"]')
  assert.equal(text('%s', '{"k": 1.5, "j": duration("1s")}'), '{"j":duration("1s"), "k":1.500000}')
  assert.equal(text('%s', '100000000.0'), '1e+08')
  assert.equal(text('%.2f', '1234567.891'), '1,234,567.89')
  assert.equal(text('%e', '1052.032911275'), '1.052033×10⁰³')
  assert.match(String(text('%f', 'dyn(3)')), /fixed-point clause can only be used on doubles/)
  assert.equal(evaluate('string(100000000.0)'), '1e+08')
  assert.equal(evaluate('"abc".indexOf("b", 9) + "abc".lastIndexOf("b", 9)'), -2)
  assert.equal(evaluate('duration("1h2m3s").getMilliseconds()'), 3_723_000)
  assert.equal(evaluate('timestamp(string(dyn("soon")))'), 'invalid RFC 3339 timestamp "soon"')
  assert.equal(evaluate('sign(quantity("-1")) == -1'), true)
  assert.match(failure('quantity("1").sign()'), /no matching overload for 'sign'/)
})

test('a pattern that cannot be filled with its values is told before anything is evaluated', () => {
  assert.match(
    failure("'%d'.format(['a'])"),
    /1:14: error during formatting: decimal clause can only/,
  )
  assert.match(failure("'%s %s'.format([1])"), /1:15: index 1 out of range/)
  assert.match(failure("'%s'.format([1, 2])"), /too many arguments .*expected 1, got 2/)
  assert.match(failure("'%q'.format([1])"), /unrecognized formatting clause "q"/)
  assert.match(failure("'%s'.format([[optional.of(1)]])"), /was given optional_type/)
  assert.equal(evaluate("'%d %s %.1f%%'.format([dyn(1), [[1, 'a']], 2.0])"), '1 [[1, "a"]] 2.0%')
})

test('what is written down is converted before anything is evaluated', () => {
  assert.equal(
    failure("int('%') == 1"),
    "program instantiation failed: type conversion error from 'string' to 'int'",
  )
  assert.equal(failure('uint(-1) == 1u'), 'program instantiation failed: unsigned integer overflow')
})

test('a field that is null counts as one that is not there', () => {
  const schema = {
    type: 'object',
    properties: {
      n: { type: 'string', nullable: true },
      b: { type: 'string', format: 'byte' },
      m: { type: 'object', additionalProperties: { type: 'string', nullable: true } },
    },
  }
  const asked = (source: string, self: object): unknown => {
    const compiled = compileCel(source, { variables: { self: { schema } } })
    assert.ok(!('failure' in compiled))
    try {
      return compiled.evaluate({ self }, budget()).value
    } catch (error) {
      return error instanceof CelError ? error.message : error
    }
  }
  assert.equal(asked('has(self.n)', { n: null }), false)
  assert.equal(asked('dyn(self.n) == null', { n: null }), 'no such key: n')
  assert.equal(asked('has(self.n)', { n: '' }), true)
  assert.equal(asked('has(self.m.a) && dyn(self.m.a) == null', { m: { a: null } }), true)
  assert.equal(asked('self.b.size()', { b: '_w==' }), 1)
  assert.equal(
    asked('self.b.size()', { b: 'a/w=' }),
    'Invalid byte formatted string a/w=: illegal base64 data at input byte 1',
  )
})

const most = (source: string, schema: CelOptions['variables'][string]): number => {
  const compiled = compileCel(source, { variables: { self: schema } })
  assert.ok(!('failure' in compiled), source)
  return compiled.estimate().max
}

test('the most that a rule can cost is what Kubernetes reckons', () => {
  const text = { schema: { type: 'string', maxLength: 10 } }
  const either = { schema: { 'x-kubernetes-int-or-string': true, maxLength: 20 } }
  const list = { schema: { type: 'array', maxItems: 5, items: { type: 'string', maxLength: 10 } } }
  const map = {
    schema: { type: 'object', additionalProperties: { type: 'string' }, maxProperties: 2 },
  }
  assert.equal(most('isIP(self)', text), 5)
  assert.equal(most("quantity(self) == quantity('1')", text), 7)
  assert.equal(most('type(self) == string', either), 11)
  assert.equal(most('self.sort() == self', list), 67)
  assert.equal(most("self.split(',', 2).reverse().size() > 1", text), 24)
  // Of what a call gives nothing is known of the elements.
  assert.equal(most("self.map(k, k).join(',').matches('a')", map), Number.MAX_SAFE_INTEGER)
  assert.equal(most('self.a == self.b', map), Number.MAX_SAFE_INTEGER)
})
