import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  formatLabelSelector,
  matchesFields,
  matchesLabels,
  parseFieldSelector,
  parseLabelSelector,
  selectorMatches,
  type LabelRequirement,
} from './selectors.ts'
import { StatusError } from './status.ts'

const matches = (selector: string, labels: Record<string, string>): boolean =>
  matchesLabels(parseLabelSelector(selector), labels)
const refused = (parse: () => unknown, message: string): void => {
  assert.throws(parse, (error) => {
    assert.ok(error instanceof StatusError)
    assert.equal(error.code, 400)
    assert.equal(error.message, message)
    return true
  })
}

test('labels are selected by value, by set and by presence', () => {
  const labels = { app: 'web', tier: 'a', n: '7' }
  for (const good of [
    '',
    'app=web',
    'app == web',
    'app!=db',
    'gone!=db',
    'tier in (a, b)',
    'tier notin (b)',
    'gone notin (b)',
    'app',
    '!gone',
    'n>6,n<8',
    'app=web,tier in (a),!gone',
  ])
    assert.ok(matches(good, labels), good)
  for (const bad of ['app=db', 'app=', 'app!=web', 'gone=', 'tier in (b)', '!app', 'n>7', 'app<1'])
    assert.ok(!matches(bad, labels), bad)
})

test('empty values may be written, and are values', () => {
  assert.ok(matches('a=', { a: '' }))
  assert.ok(matches('a in (,b)', { a: '' }))
  assert.ok(matches('a in ()', { a: '' }))
  assert.deepEqual(parseLabelSelector('a in (c,,b,c)')[0]?.values, ['', 'b', 'c'])
})

test('what every object inherits is no label', () => {
  assert.ok(!matches('constructor', {}))
  assert.ok(matches('!toString', {}))
  assert.ok(matchesFields(parseFieldSelector('constructor='), {}))
})

test('a selector that cannot be read is refused in the words of Kubernetes', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['a,', "found '', expected: identifier after ','"],
    ['=a', "found '=', expected: !, identifier, or 'end of string'"],
    ['a=b=c', "found '=', expected: ',' or 'end of string'"],
    ['a b', "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"],
    ['a in b', "unable to parse requirement: found 'b' expected: '('"],
    ['a in (b', "unable to parse requirement: found '', expected: ',' or ')'"],
    ['!', "unable to parse requirement: found '', expected: identifier"],
    [
      'a>b',
      "unable to parse requirement: values[0]: Invalid value: \"b\": for 'Gt', 'Lt' operators, the value must be an integer",
    ],
    [
      'a=-b',
      "unable to parse requirement: values[0][a]: Invalid value: \"-b\": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
    ],
    [
      '-a',
      "unable to parse requirement: <nil>: Invalid value: \"-a\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
    ],
  ]
  for (const [selector, message] of cases) refused(() => parseLabelSelector(selector), message)
})

test("an object's selector: none matches nothing, an empty one everything", () => {
  assert.ok(!selectorMatches(undefined, { a: 'b' }))
  assert.ok(selectorMatches({}, { a: 'b' }))
  const selector = {
    matchLabels: { a: 'b' },
    matchExpressions: [{ key: 'c', operator: 'DoesNotExist' }],
  }
  assert.ok(selectorMatches(selector, { a: 'b' }))
  assert.ok(!selectorMatches(selector, { a: 'b', c: '' }))
})

const key = fc.constantFrom('app', 'example.com/tier', 'n')
const value = fc.constantFrom('', 'web', 'a.b', '12')
const requirement: fc.Arbitrary<LabelRequirement> = fc.oneof(
  fc.record({
    key,
    operator: fc.constantFrom('In' as const, 'NotIn' as const),
    values: fc.uniqueArray(value, { minLength: 1 }),
  }),
  fc.record({
    key,
    operator: fc.constantFrom('Exists' as const, 'DoesNotExist' as const),
    values: fc.constant([]),
  }),
  fc.record({
    key,
    operator: fc.constantFrom('Gt' as const, 'Lt' as const),
    values: fc.constantFrom(['5'], ['12']),
  }),
)

test('a selector that was written reads as the same', () => {
  const labels = fc.dictionary(key, value, { noNullPrototype: true })
  fc.assert(
    fc.property(fc.array(requirement, { maxLength: 4 }), labels, (requirements, given) => {
      const again = parseLabelSelector(formatLabelSelector(requirements))
      assert.equal(matchesLabels(again, given), matchesLabels(requirements, given))
      assert.deepEqual(parseLabelSelector(formatLabelSelector(again)), again)
    }),
  )
})

test('no text breaks the readers in another way than with 400', () => {
  const text = fc.string({
    unit: fc.constantFrom('a', '=', '!', '(', ')', ',', '<', ' ', '\\', 'in'),
  })
  fc.assert(
    fc.property(text, (given) => {
      for (const parse of [parseLabelSelector, parseFieldSelector])
        try {
          parse(given)
        } catch (error) {
          assert.ok(error instanceof StatusError, String(error))
        }
    }),
    { numRuns: 1000 },
  )
})

test('fields are selected by value, with escapes', () => {
  const fields = { 'status.phase': 'Running', name: 'a,b=c\\' }
  const selects = (selector: string): boolean => matchesFields(parseFieldSelector(selector), fields)
  assert.ok(selects('status.phase=Running'))
  assert.ok(selects('status.phase==Running,name!=x'))
  assert.ok(selects('name=a\\,b\\=c\\\\'))
  assert.ok(!selects('status.phase!=Running'))
  assert.ok(selects('gone='))
  refused(
    () => parseFieldSelector('a=b=c'),
    'invalid field selector: unescaped character in value: 61',
  )
  refused(() => parseFieldSelector('a=\\x'), 'invalid field selector: invalid escape sequence: \\x')
  refused(() => parseFieldSelector('a'), "invalid selector: 'a'; can't understand 'a'")
  refused(() => parseFieldSelector('b=1,a,c'), "invalid selector: 'b=1,a,c'; can't understand 'a'")
})
