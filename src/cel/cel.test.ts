import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compileCel, type CelBudget, type CelDeclaration } from './index.ts'

const budget = (): CelBudget => ({ perCall: 1_000_000, remaining: 10_000_000 })
const run = (
  source: string,
  values: Readonly<Record<string, unknown>> = {},
  variables: Readonly<Record<string, CelDeclaration>> = Object.fromEntries(
    Object.keys(values).map((name) => [name, 'dyn']),
  ),
): unknown => {
  const program = compileCel(source, { variables, bindings: true, mutates: true })
  if ('failure' in program) throw new Error(program.failure)
  return program.evaluate(values, budget()).value
}
const failure = (
  source: string,
  variables: Readonly<Record<string, CelDeclaration>> = {},
  returns?: string,
): string => {
  const program = compileCel(source, {
    variables,
    ...(returns === undefined ? {} : { returns }),
  })
  assert.ok('failure' in program, source)
  return program.failure
}

test('arithmetic is of 64 bits, and says when it is too much', () => {
  assert.equal(run('1 + 2 * 3 - 4 / 2 % 3'), 5)
  assert.equal(run('9223372036854775807'), 9223372036854775807n)
  assert.throws(() => run('9223372036854775807 + 1'), /integer overflow/)
  assert.throws(() => run('1 / 0'), /division by zero/)
  assert.throws(() => run('0u - 1u'), /unsigned integer overflow/)
  assert.equal(run('-9223372036854775808'), -9223372036854775808n)
  assert.equal(run('1.5 + 2.5'), 4)
  assert.equal(run('x == 1.0 && x == 1u && x < 1.5', { x: 1 }), true)
})

test('one side of || and && may fail when the other decides', () => {
  assert.equal(run('1 / 0 > 0 || true'), true)
  assert.equal(run('true || 1 / 0 > 0'), true)
  assert.equal(run('1 / 0 > 0 && false'), false)
  assert.throws(() => run('1 / 0 > 0 || false'), /division by zero/)
})

test('macros go through lists and maps', () => {
  const values = { list: [1, 2, 3], map: { a: 1, b: 2 } }
  assert.equal(run('list.all(x, x > 0) && list.exists(x, x == 2)', values), true)
  assert.equal(run('list.exists_one(x, x > 2)', values), true)
  assert.deepEqual(run('list.map(x, x > 1, x * 2)', values), [4, 6])
  assert.deepEqual(run('map.filter(k, map[k] > 1)', values), ['b'])
  assert.equal(run('list.all(i, v, v == i + 1)', values), true)
  assert.deepEqual(run('map.transformMap(k, v, v + 1)', values), { a: 2, b: 3 })
  assert.equal(run('has(map.a) && !has(map.c)', values), true)
  assert.equal(run('cel.bind(n, size(list), n * n)', values), 9)
})

test('optionals are there or not', () => {
  const values = { map: { a: { b: 1 } } }
  assert.equal(run('map.?a.?b.orValue(0)', values), 1)
  assert.equal(run('map.?c.b.orValue(7)', values), 7)
  assert.equal(run('map[?"c"].hasValue()', values), false)
  assert.deepEqual(run('[?map.?a.?b, ?map.?x]', values), [1])
  assert.equal(run('map.?a.optMap(x, x.b + 1).orValue(0)', values), 2)
})

const schema = {
  type: 'object',
  required: ['replicas'],
  properties: {
    replicas: { type: 'integer' },
    name: { type: 'string', maxLength: 10 },
    'odd-name': { type: 'string' },
    when: { type: 'string', format: 'date-time' },
    tags: { type: 'array', 'x-kubernetes-list-type': 'set', items: { type: 'string' } },
    port: { 'x-kubernetes-int-or-string': true },
    labels: { type: 'object', additionalProperties: { type: 'string' } },
  },
}
const self = { self: { schema } }

test('a schema gives types: fields are checked before anything is evaluated', () => {
  assert.equal(run('self.replicas > 1', { self: { replicas: 2 } }, self), true)
  assert.equal(run('self.odd__dash__name == "x"', { self: { 'odd-name': 'x' } }, self), true)
  assert.equal(
    run('self.when.getFullYear() == 2026', { self: { when: '2026-01-02T03:04:05Z' } }, self),
    true,
  )
  assert.equal(run('self.tags == ["b", "a"]', { self: { tags: ['a', 'b'] } }, self), true)
  assert.equal(run('type(self.port) == int', { self: { port: 80 } }, self), true)
  assert.match(failure('self.absent', self), /undefined field 'absent'/)
  assert.equal(
    failure('self.replicas + "x" == ""', self),
    `compilation failed: ERROR: <input>:1:15: found no matching overload for '_+_' applied to '(int, string)'\n | self.replicas + "x" == ""\n | ..............^`,
  )
  assert.match(failure('nobody == 1'), /undeclared reference to 'nobody' \(in container ''\)/)
  assert.equal(failure('self.replicas', self, 'bool'), 'must evaluate to bool but got int')
})

test('mistakes of syntax are told with their place', () => {
  assert.match(failure('1 +'), /^compilation failed: ERROR: <input>:1:4: Syntax error: /)
  assert.match(failure('"abc'), /Syntax error: token recognition error/)
  assert.match(failure('a.b c', { a: 'dyn' }), /<input>:1:5: Syntax error/)
})

test('the libraries of Kubernetes', () => {
  assert.equal(run('quantity("1Gi").isGreaterThan(quantity("1G"))'), true)
  assert.equal(run('quantity("1500m").add(1).asApproximateFloat()'), 2.5)
  assert.equal(run('isQuantity("1 apple")'), false)
  assert.equal(run('url("https://a.example:8080/b?c=d").getHost()'), 'a.example:8080')
  assert.equal(run('url("https://a/b?c=d").getQuery()["c"][0]'), 'd')
  assert.equal(run('isURL("/relative") && !isURL("nothing")'), true)
  assert.equal(run('ip("192.168.0.1").family()'), 4)
  assert.equal(run('cidr("192.168.0.0/16").containsIP("192.168.3.4")'), true)
  assert.equal(run('string(cidr("192.168.1.5/16").masked())'), '192.168.0.0/16')
  assert.equal(run('ip("::ffff:1") == ip("0:0:0:0:0:0:ffff:1")'), true)
  assert.equal(run('semver("1.2.3").isLessThan(semver("1.10.0"))'), true)
  assert.equal(run('!format.dns1123Label().validate("a-b").hasValue()'), true)
  assert.equal(run('format.dns1123Label().validate("A_B").hasValue()'), true)
  assert.equal(run('"%s has %d (%.2f)".format(["x", 3, 1.5])'), 'x has 3 (1.50)')
  assert.equal(run('"a1b22".findAll("[0-9]+")[1]'), '22')
  assert.equal(run('[1, 2, 3].sum() == 6 && [3, 1].min() == 1 && [1, 2].isSorted()'), true)
  assert.equal(run('sets.contains(["a", "b"], ["b"])'), true)
  assert.equal(run('jsonpatch.escapeKey("k8s.io/a~b")'), 'k8s.io~1a~0b')
})

test('hostile patterns and nesting end soon', () => {
  assert.equal(run(`"${'a'.repeat(5000)}!".matches("(a+)+$")`), false)
  assert.match(failure('('.repeat(10_000)), /recursion limit/)
  assert.match(failure('!'.repeat(10_000)), /Syntax error: mismatched input/)
  assert.match(failure('1' + '+1'.repeat(49_000)), /recursion limit/)
  assert.match(failure(' '.repeat(200_000)), /size exceeds limit/)
})

test('what costs too much is stopped, and the estimate knows it before', () => {
  const list = Array.from({ length: 1000 }, (_, i) => i)
  const source = 'list.all(a, list.all(b, list.all(c, a + b + c >= 0)))'
  assert.throws(() => run(source, { list }), /actual cost limit exceeded/)
  const typed = compileCel('self.all(x, x.startsWith("a"))', {
    variables: {
      self: { schema: { type: 'array', maxItems: 10, items: { type: 'string', maxLength: 5 } } },
    },
  })
  assert.ok(!('failure' in typed))
  const { min, max } = typed.estimate()
  assert.ok(min <= max && max < 100, `${min} ${max}`)
})

test('an authorizer may answer later', async () => {
  const program = compileCel(
    'authorizer.group("apps").resource("deployments").namespace("shop").check("create").allowed() && !authorizer.requestResource.check("delete").allowed()',
    { variables: { authorizer: 'authorizer' }, returns: 'bool' },
  )
  assert.ok(!('failure' in program), JSON.stringify(program))
  const asked: string[] = []
  const { value } = await program.evaluateAsync(
    {},
    {
      ...budget(),
      requestResource: { group: '', resource: 'pods', name: 'web' },
      authorizer: {
        async check({ verb, resource, namespace }) {
          asked.push(`${verb} ${resource} ${namespace}`)
          return { allowed: verb === 'create', reason: '' }
        },
      },
    },
  )
  assert.equal(value, true)
  assert.deepEqual(asked, ['create deployments shop', 'delete pods '])
})

test('objects and patches are built by policies that change things, with whatever fields', () => {
  const made = (source: string): unknown => {
    const program = compileCel(source, { variables: {}, mutates: true })
    assert.ok(!('failure' in program), JSON.stringify(program))
    return program.evaluate({}, budget()).value
  }
  assert.deepEqual(
    made('Object{spec: Object.spec{replicas: 3, items: [Object.spec.items{a__dash__b: "x"}]}}'),
    { spec: { replicas: 3, items: [{ 'a-b': 'x' }] } },
  )
  assert.deepEqual(made('[JSONPatch{op: "add", path: "/a", value: {"b": 1}}]'), [
    { op: 'add', path: '/a', value: { b: 1 } },
  ])
  for (const [source, mutates] of [
    ['Object{}', false],
    ['JSONPatch{nonsense: 1}', true],
    ['Subject{}', true],
  ] as const)
    assert.ok('failure' in compileCel(source, { variables: {}, mutates }), source)
})
