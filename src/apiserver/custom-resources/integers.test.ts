import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { send, testServer } from '../server.testing.ts'
import {
  CRDS,
  established,
  server,
  serving,
  specSchema,
  version,
  WIDGETS,
  widget,
  widgets,
} from './custom-resources.testing.ts'

const BIG = 9007199254740993n
const JSON_PATCH = { 'content-type': 'application/json-patch+json' }
const MERGE = { 'content-type': 'application/merge-patch+json' }
const APPLY = { 'content-type': 'application/apply-patch+yaml' }
const YAML = { 'content-type': 'application/yaml' }
const TABLE = { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' }
const open = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true }

const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })

test('an integer that was sent is the integer that is read, whichever way it came and goes', async () => {
  const made = await serving(widgets([version('v1', { schema: specSchema({ free: open }) })]))
  let count = 0
  await fc.assert(
    fc.asyncProperty(int64, int64, async (first, second) => {
      const name = `w${count++}`
      const url = `${WIDGETS}/${name}`
      const shows = async (text: string, value: unknown): Promise<void> => {
        assert.ok(text.includes(`"free":{"x":${String(value)}}`), text)
        assert.ok((await made.request(`GET ${url}`)).text.includes(`"x":${String(value)}}`))
      }
      const spec = { free: { x: first } }
      await shows((await made.request(`POST ${WIDGETS}`, widget(name, { spec }))).text, first)
      const test = { op: 'test', path: '/spec/free/x', value: first }
      const replace = { op: 'replace', path: '/spec/free/x', value: second }
      await shows((await made.request(`PATCH ${url}`, [test, replace], JSON_PATCH)).text, second)
      await shows((await made.request(`PATCH ${url}`, { spec }, MERGE)).text, first)
      const applied = `apiVersion: example.com/v1\nkind: Widget\nspec: {free: {x: ${second}}}\n`
      const by = `PATCH ${url}?fieldManager=m&force=true`
      await shows((await made.request(by, applied, APPLY)).text, second)
      const listed = await made.request(`GET ${WIDGETS}?limit=500`)
      assert.ok(listed.text.includes(`"x":${second}}`), listed.text)
    }),
    { numRuns: 8 },
  )
})

test('integers outlive the server that took them', async () => {
  const before = await serving(widgets([version('v1', { schema: specSchema({ free: open }) })]))
  await before.request(`POST ${WIDGETS}`, widget('w', { spec: { free: { x: BIG } } }))
  const { server: again } = await testServer({ storage: before.storage })
  const after = { ...before, request: (line: string, body?: unknown) => send(again, line, body) }
  await established(after, 'widgets.example.com')
  const { text } = await after.request(`GET ${WIDGETS}/w`)
  assert.ok(text.includes(`"x":${BIG}`), text)
})

test('schemas judge, default and show integers as they are', async () => {
  const made = await serving(
    widgets([
      version('v1', {
        schema: specSchema({
          given: { type: 'integer', format: 'int64', default: BIG },
          one: { type: 'integer', enum: [BIG] },
          least: { type: 'integer', minimum: 2 ** 60 },
          set: { type: 'array', 'x-kubernetes-list-type': 'set', items: { type: 'integer' } },
          ruled: {
            type: 'integer',
            'x-kubernetes-validations': [{ rule: 'self != 9007199254740995' }],
          },
        }),
        additionalPrinterColumns: [{ name: 'Given', type: 'integer', jsonPath: '.spec.given' }],
      }),
    ]),
  )
  const refusal = async (spec: object): Promise<string> => {
    const { status, text } = await made.request(`POST ${WIDGETS}`, widget('no', { spec }))
    return status === 201 ? '' : text
  }
  assert.match(await refusal({ one: BIG - 1n }), /Unsupported value: 9007199254740992: supported/)
  assert.match(await refusal({ least: BIG }), /Invalid value: 9007199254740993: spec.least/)
  assert.match(await refusal({ set: [BIG, BIG] }), /Duplicate value: 9007199254740993/)
  assert.match(await refusal({ ruled: BIG + 2n }), /Invalid value: 9007199254740995: failed rule/)
  assert.match(await refusal({ given: 2n ** 63n }), /must be of type int64: \\"float64\\"/)

  const spec = { one: BIG, least: 2n ** 60n + 1n, set: [BIG, BIG + 1n], ruled: BIG }
  const yaml = JSON.stringify(widget('w', { spec })).replace('{', '{ # YAML\n')
  const { status, text } = await made.request(`POST ${WIDGETS}`, yaml, YAML)
  assert.equal(status, 201, text)
  assert.ok(text.includes(`"least":1152921504606846977`) && text.includes(`"given":${BIG}`), text)
  const table = await made.request(`GET ${WIDGETS}/w`, undefined, TABLE)
  assert.ok(table.text.includes(`"cells":["w",${BIG}]`), table.text)
  const apply = { apiVersion: 'example.com/v1', kind: 'Widget', spec: { set: [BIG + 2n] } }
  const applied = await made.request(`PATCH ${WIDGETS}/w?fieldManager=m`, apply, APPLY)
  assert.ok(applied.text.includes(`"f:set":{"v:${BIG + 2n}":{}}`), applied.text)
  assert.ok(applied.text.includes(`"set":[${BIG},${BIG + 1n},${BIG + 2n}]`), applied.text)
})

test('a schema whose bounds are the largest integers is served', async () => {
  const most = 2n ** 63n - 1n
  const rules = [{ rule: "self.all(each, each != 'x')" }]
  const items = { type: 'string', maxLength: most }
  const list = { type: 'array', maxItems: most, items, 'x-kubernetes-validations': rules }
  const schema = specSchema({ list, size: { type: 'integer', minimum: -most, maximum: most } })
  const made = await server()
  const { status, text } = await made.request(`POST ${CRDS}`, widgets([version('v1', { schema })]))
  // Such a list is too long for any rule, which is told and is no failure of ours.
  assert.equal(status, 422, text)
  assert.match(text, /estimated rule cost exceeds budget/)
  const plain = specSchema({ list: { ...list, 'x-kubernetes-validations': [] } })
  const served = await serving(widgets([version('v1', { schema: plain })]))
  const answer = await served.request(`POST ${WIDGETS}`, widget('w', { spec: { list: ['a'] } }))
  assert.equal(answer.status, 201, answer.text)
  assert.ok((await served.request(`GET ${CRDS}/widgets.example.com`)).text.includes(String(most)))
})

test('fields of built-in types hold what an int64 holds', async () => {
  const { server: api } = await testServer()
  const PODS = '/api/v1/namespaces/shop/pods'
  const spec = { containers: [{ name: 'c', image: 'i' }], terminationGracePeriodSeconds: BIG }
  const made = await send(api, `POST ${PODS}`, { metadata: { name: 'p' }, spec })
  assert.ok(made.text.includes(`"terminationGracePeriodSeconds":${BIG}`), made.text)
  const protobuf = { accept: 'application/vnd.kubernetes.protobuf' }
  const reply = await send(api, `GET ${PODS}/p`, undefined, protobuf)
  assert.equal(reply.status, 200)
  const merge = { 'content-type': 'application/strategic-merge-patch+json' }
  const labels = { metadata: { labels: { a: 'b' } } }
  const { text } = await send(api, `PATCH ${PODS}/p`, labels, merge)
  assert.ok(text.includes(`"terminationGracePeriodSeconds":${BIG}`), text)
  const small = { ...spec, securityContext: { runAsUser: BIG } }
  const refused = await send(api, `POST ${PODS}`, { metadata: { name: 'q' }, spec: small })
  assert.match(refused.text, /runAsUser: Invalid value: 9007199254740993/)
  const wide = { ...spec, terminationGracePeriodSeconds: 2n ** 63n }
  const beyond = await send(api, `POST ${PODS}`, { metadata: { name: 'q' }, spec: wide })
  assert.match(beyond.text, /cannot unmarshal number .* of type int64/)
})
