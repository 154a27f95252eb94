import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  CRDS,
  server,
  serving,
  specSchema,
  version,
  WIDGETS,
  widget,
  widgets,
  type Served,
} from './custom-resources.testing.ts'

const MERGE = { 'content-type': 'application/merge-patch+json' }

/** What a server says of a definition with this schema. */
async function judged(schema: object): Promise<string> {
  const { request } = await server()
  const { status, json } = await request(`POST ${CRDS}`, widgets([version('v1', { schema })]))
  return status === 201 ? '' : String(json['message'])
}

const ruled = (rules: readonly object[], properties: object, more: object = {}): Promise<Served> =>
  serving(
    widgets([
      version('v1', {
        schema: specSchema(properties, { 'x-kubernetes-validations': rules, ...more }),
      }),
    ]),
  )

const integer = { type: 'integer' }
const string = { type: 'string', maxLength: 20 }

async function refusal(made: Served, spec: object): Promise<string> {
  const { status, json } = await made.request(`POST ${WIDGETS}`, widget('w', { spec }))
  return status === 201 ? '' : String(json['message'])
}
async function change(made: Served, spec: object): Promise<string> {
  const { status, json } = await made.request(`PATCH ${WIDGETS}/w`, { spec }, MERGE)
  return status === 200 ? '' : String(json['message'])
}

test('a rule refuses in its own words, with its reason and at its field', async () => {
  const made = await ruled(
    [
      { rule: 'self.least <= self.most', message: 'least must not be more than most' },
      { rule: 'self.least < 100' },
      {
        rule: 'self.most < 50',
        messageExpression: 'self.most >= 100 ? "most is far too much" : "most is too much"',
        reason: 'FieldValueForbidden',
        fieldPath: '.most',
      },
    ],
    { least: integer, most: integer },
  )
  assert.equal(
    await refusal(made, { least: 3, most: 2 }),
    'Widget.example.com "w" is invalid: spec: Invalid value: least must not be more than most',
  )
  assert.match(
    await refusal(made, { least: 100, most: 100 }),
    /spec: Invalid value: failed rule: self.least < 100, spec.most: Forbidden: most is far too much/,
  )
  assert.equal(await refusal(made, { least: 1, most: 2 }), '')
})

test('a whole object has a name for its rules', async () => {
  const schema = {
    ...specSchema({ size: integer }),
    'x-kubernetes-validations': [
      { rule: "self.metadata.name.startsWith('w')", message: 'wrong name' },
    ],
  }
  const made = await serving(widgets([version('v1', { schema })]))
  assert.equal(await refusal(made, { size: 1 }), '')
  const { json } = await made.request(`POST ${WIDGETS}`, widget('x', { spec: { size: 1 } }))
  assert.match(String(json['message']), /<nil>: Invalid value: wrong name/)
})

test('what cannot be evaluated is told with its rule', async () => {
  const made = await ruled([{ rule: 'self.list[2] == 1' }], {
    list: { type: 'array', items: integer },
  })
  assert.match(
    await refusal(made, { list: [1] }),
    /index out of bounds: 2 evaluating rule: self.list\[2\] == 1/,
  )
})

test('rules are not asked about values of wrong types', async () => {
  const made = await ruled([{ rule: 'self.n > 0' }], { n: integer })
  const text = await refusal(made, { n: 'x' })
  assert.match(text, /must be of type integer/)
  assert.match(
    text,
    /<nil>: Invalid value: null: some validation rules were not checked because the object was invalid/,
  )
})

test('a transition rule looks at changes, and a new object has none', async () => {
  const made = await ruled([{ rule: 'self.n >= oldSelf.n', message: 'n only grows' }], {
    n: integer,
    color: {
      ...string,
      'x-kubernetes-validations': [{ rule: 'self == oldSelf', message: 'color stays' }],
    },
  })
  assert.equal(await refusal(made, { n: 5, color: 'red' }), '')
  assert.equal(await change(made, { n: 6 }), '')
  assert.match(await change(made, { n: 1 }), /n only grows/)
  assert.match(
    await change(made, { color: 'blue' }),
    /spec.color: Invalid value: "blue": color stays/,
  )
})

test('a rule may ask whether there was something before', async () => {
  const made = await ruled(
    [
      {
        rule: 'oldSelf.hasValue() || self.n == 0',
        optionalOldSelf: true,
        message: 'begins at zero',
      },
    ],
    { n: integer },
  )
  assert.match(await refusal(made, { n: 3 }), /begins at zero/)
  assert.equal(await refusal(made, { n: 0 }), '')
  assert.equal(await change(made, { n: 3 }), '')
})

test('items of a list that is a map are compared with what they were', async () => {
  const made = await ruled([], {
    ports: {
      type: 'array',
      maxItems: 5,
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['name'],
      items: {
        type: 'object',
        required: ['name'],
        properties: { name: string, port: integer },
        'x-kubernetes-validations': [{ rule: 'self.port == oldSelf.port', message: 'ports stay' }],
      },
    },
  })
  assert.equal(await refusal(made, { ports: [{ name: 'a', port: 1 }] }), '')
  assert.equal(
    await change(made, {
      ports: [
        { name: 'b', port: 2 },
        { name: 'a', port: 1 },
      ],
    }),
    '',
  )
  assert.match(
    await change(made, {
      ports: [
        { name: 'b', port: 2 },
        { name: 'a', port: 9 },
      ],
    }),
    /spec.ports\[1\]: Invalid value: ports stay/,
  )
})

test('what did not change is not judged anew by a rule that came later', async () => {
  const made = await ruled([], { n: integer, color: string })
  await refusal(made, { n: 500, color: 'red' })
  const path = `${CRDS}/widgets.example.com`
  const { json } = await made.request(`GET ${path}`)
  const schema = specSchema({
    n: { ...integer, 'x-kubernetes-validations': [{ rule: 'self < 100', message: 'too large' }] },
    color: string,
  })
  const put = await made.request(`PUT ${path}`, {
    ...json,
    spec: { ...(json['spec'] as object), versions: [version('v1', { schema })] },
  })
  assert.equal(put.status, 200, put.text)
  for (let i = 0; i < 20; i++) await new Promise<void>((resolve) => setImmediate(resolve))
  const passed = await made.request(`PATCH ${WIDGETS}/w`, { spec: { color: 'blue' } }, MERGE)
  assert.equal(passed.status, 200)
  assert.deepEqual(passed.headers['warning'], ['299 - "spec.n: Invalid value: 500: too large"'])
  assert.match(await change(made, { n: 501 }), /spec.n: Invalid value: 501: too large/)
})

test('rules are compiled when the definition is written', async () => {
  const rules = (text: object, properties: object = { n: integer }): object =>
    specSchema(properties, { 'x-kubernetes-validations': [text] })
  const cases: readonly (readonly [object, RegExp])[] = [
    [
      rules({ rule: '' }),
      /x-kubernetes-validations\[0\]\.rule: Required value: rule is not specified/,
    ],
    [rules({ rule: 'self.n +' }), /\.rule: Invalid value: .*compilation failed: ERROR: <input>:1:/],
    [rules({ rule: 'self.missing > 0' }), /undefined field 'missing'/],
    [rules({ rule: 'self.n' }), /cel expression must evaluate to a bool/],
    [
      rules({ rule: 'true', messageExpression: 'self.n' }),
      /messageExpression must evaluate to a string/,
    ],
    [
      rules({ rule: 'self.n > 0', optionalOldSelf: true }),
      /may not be set if oldSelf is not used in rule/,
    ],
    [
      rules({ rule: 'true', fieldPath: '.none' }),
      /fieldPath: Invalid value: ".none": must be a valid path/,
    ],
    [rules({ rule: 'true', reason: 'Because' }), /reason: Unsupported value: "Because"/],
    [rules({ rule: 'true', message: 'a\nb' }), /must not contain line breaks/],
    [
      specSchema({
        list: {
          type: 'array',
          items: { ...integer, 'x-kubernetes-validations': [{ rule: 'self == oldSelf' }] },
        },
      }),
      /oldSelf cannot be used on the uncorrelatable portion of the schema within spec\.validation\.openAPIV3Schema\.properties\[spec\]\.properties\[list\]/,
    ],
    [
      specSchema({
        n: {
          ...integer,
          default: 5,
          'x-kubernetes-validations': [{ rule: 'self > 9', message: 'more' }],
        },
      }),
      /properties\[n\]\.default: Invalid value: 5: more/,
    ],
  ]
  for (const [schema, message] of cases) assert.match(await judged(schema), message)
})

test('a rule that could cost too much is refused, and one with bounded lists is not', async () => {
  const schema = (bounds: object): object =>
    specSchema(
      { list: { type: 'array', items: { type: 'string', ...bounds }, ...bounds } },
      { 'x-kubernetes-validations': [{ rule: 'self.list.all(x, self.list.all(y, x == y))' }] },
    )
  assert.match(
    await judged(schema({})),
    /x-kubernetes-validations\[0\]\.rule: Forbidden: estimated rule cost exceeds budget by factor of more than 100x \(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared\)/,
  )
  assert.equal(await judged(schema({ maxItems: 10, maxLength: 10 })), '')
})

test('what a rule can cost depends on what its types are, and on how small its values may be', async () => {
  const either = {
    'x-kubernetes-int-or-string': true,
    'x-kubernetes-validations': [
      { rule: "type(self) == int ? self > 0 : self.matches('^[0-9]+%$')" },
    ],
  }
  assert.equal(await judged(specSchema({ port: either })), '')
  const list = (items: object): object => specSchema({ list: { type: 'array', items } })
  const addresses = list({
    type: 'string',
    'x-kubernetes-validations': [{ rule: 'isIP(self)' }],
  })
  assert.match(await judged(addresses), /cost exceeds budget by factor of more than 100x/)
  // As many values as fit into a request: of texts more than of dates.
  const rule = { rule: "self in ['a', 'b', 'c', 'd', 'e', 'f']" }
  const named = (more: object): object =>
    list({ type: 'string', ...more, 'x-kubernetes-validations': [rule] })
  assert.match(
    await judged(named({ enum: ['a-long-name', 'another'] })),
    /cost exceeds budget by factor of 1\.8x/,
  )
})

test('the keys of a map cost nothing for their length', async () => {
  const rule = { rule: "self.all(key, key.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$'))" }
  const map = {
    type: 'object',
    maxProperties: 8,
    additionalProperties: { type: 'string', maxLength: 4096 },
    'x-kubernetes-validations': [rule],
  }
  assert.equal(await judged(specSchema({ map })), '')
})

test('rules of one object share a budget', async () => {
  const rule = { rule: 'self.list.all(x, self.list.all(y, x <= 1000000 && y <= 1000000))' }
  const made = await ruled(
    Array.from({ length: 30 }, () => rule),
    {
      list: { type: 'array', maxItems: 500, items: integer },
    },
  )
  const list = Array.from({ length: 300 }, (_, i) => i)
  assert.match(
    await refusal(made, { list }),
    /validation failed due to running out of cost budget, no further validation rules will be run/,
  )
  assert.equal(await refusal(made, { list: list.slice(0, 10) }), '')
})
