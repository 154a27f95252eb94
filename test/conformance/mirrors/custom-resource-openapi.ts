import assert from 'node:assert/strict'
import type { Json } from '../api.ts'
import {
  define,
  definitionName,
  DEFINITIONS,
  OPEN,
  openApi,
  version,
  type Custom,
} from '../custom.ts'
import { mirror, type Fixture } from '../mirror.ts'

const title = (what: string): string =>
  `[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] ${what} [Conformance]`

const text = (description: string, more: Json = {}): Json => ({
  type: 'string',
  description,
  ...more,
})
const list = (description: string, items: Json): Json => ({ type: 'array', description, items })

const foo: Json = {
  description: 'Foo CRD for Testing',
  type: 'object',
  properties: {
    spec: {
      type: 'object',
      description: 'Specification of Foo',
      properties: {
        bars: list('List of Bars and their specs.', {
          type: 'object',
          required: ['name'],
          properties: {
            name: text('Name of Bar.'),
            age: text('Age of Bar.'),
            feeling: text('Whether Bar is feeling great.', { enum: ['Great', 'Down'] }),
            bazs: list('List of Bazs.', { type: 'string' }),
          },
        }),
      },
    },
    status: {
      type: 'object',
      description: 'Status of Foo',
      properties: {
        bars: list('List of Bars and their statuses.', {
          type: 'object',
          properties: {
            name: text('Name of Bar.'),
            available: { type: 'boolean', description: 'Whether the Bar is installed.' },
            quxType: text('Indicates to external qux type.', { pattern: 'in-tree|out-of-tree' }),
          },
        }),
      },
    },
  },
}

const waldo: Json = {
  description: 'Waldo CRD for Testing',
  type: 'object',
  properties: {
    spec: {
      type: 'object',
      description: 'Specification of Waldo',
      properties: { dummy: text('Dummy property.') },
    },
    status: {
      type: 'object',
      description: 'Status of Waldo',
      properties: { bars: list('List of Bars and their statuses.', { type: 'string' }) },
    },
  },
}

/** What a definition publishes, less what every kind has. */
function ownPart(definition: Json): Json {
  const {
    properties,
    ['x-kubernetes-group-version-kind']: _,
    ...rest
  } = structuredClone(definition)
  if (properties === undefined) return rest
  const { apiVersion: _1, kind: _2, metadata: _3, ...own } = properties
  return { ...rest, properties: own }
}

/** Seen so often in a row, it is there for good. */
const TIMES = 10

async function published(
  { api, until }: Fixture,
  custom: Custom,
  of: string,
  schema?: Json,
): Promise<void> {
  const name = definitionName(custom, of)
  await until(
    `${name} is published`,
    async () => {
      for (let i = 0; i < TIMES; i++) {
        const found = (await openApi(api))[name] as Json | undefined
        if (found === undefined) return false
        if (schema !== undefined) assert.deepEqual(ownPart(found), schema)
      }
      return true
    },
    30_000,
  )
}

async function unpublished({ api, until }: Fixture, custom: Custom, of: string): Promise<void> {
  const name = definitionName(custom, of)
  await until(
    `${name} is not published any more`,
    async () => {
      for (let i = 0; i < TIMES; i++) if ((await openApi(api))[name] !== undefined) return false
      return true
    },
    30_000,
  )
}

async function removed(fixture: Fixture, custom: Custom, ...versions: string[]): Promise<void> {
  await fixture.api.delete(`${DEFINITIONS}/${custom.name}`)
  for (const of of versions) await unpublished(fixture, custom, of)
}

/** kubectl creates it, deletes it, applies it, deletes it. */
async function accepted({ kubectl }: Fixture, custom: Custom, object: Json): Promise<void> {
  for (const verb of ['create', 'apply']) {
    const made = await kubectl([verb, '-f', '-'], JSON.stringify(object))
    assert.equal(made.code, 0, made.errors)
    const deleted = await kubectl(['delete', custom.plural, object['metadata'].name])
    assert.equal(deleted.code, 0, deleted.errors)
  }
}

async function refused(
  { kubectl }: Fixture,
  object: Json,
  why: RegExp,
  verbs: readonly string[] = ['create', 'apply'],
): Promise<void> {
  for (const verb of verbs) {
    const { code, errors } = await kubectl([verb, '-f', '-'], JSON.stringify(object))
    assert.notEqual(code, 0)
    assert.match(errors, why)
  }
}

async function explained({ kubectl }: Fixture, what: string, form: RegExp): Promise<void> {
  const { code, output, errors } = await kubectl(['explain', what])
  assert.equal(code, 0, errors)
  assert.match(output, form)
}

mirror(title('works for CRD with validation schema'), async (fixture) => {
  const custom = await define(fixture, [version('v1', foo)])
  await published(fixture, custom, 'v1', foo)
  const object = (spec: Json) => custom.object('v1', 'test-foo', { spec })
  await accepted(fixture, custom, object({ bars: [{ name: 'test-bar' }] }))
  await refused(
    fixture,
    object({ bars: [{ name: 'test-bar', feeling: 'NonExistentValue' }] }),
    /Unsupported value: "NonExistentValue"/,
    ['create'],
  )
  await refused(fixture, object({ foo: true }), /unknown field "(spec\.)?foo"/)
  await refused(
    fixture,
    object({ bars: [{ age: '10' }] }),
    /missing required field "name"|spec\.bars\[0\]\.name: Required value/,
  )
  const { plural } = custom
  await explained(
    fixture,
    plural,
    /DESCRIPTION:.*Foo CRD for Testing.*FIELDS:.*apiVersion.*<string>.*APIVersion defines.*spec.*<Object>.*Specification of Foo/s,
  )
  await explained(
    fixture,
    `${plural}.metadata`,
    /DESCRIPTION:.*Standard object's metadata.*FIELDS:.*creationTimestamp.*<string>.*CreationTimestamp is a timestamp/s,
  )
  await explained(
    fixture,
    `${plural}.spec`,
    /DESCRIPTION:.*Specification of Foo.*FIELDS:.*bars.*<\[\]Object>.*List of Bars and their specs/s,
  )
  await explained(
    fixture,
    `${plural}.spec.bars`,
    /(FIELD|RESOURCE):.*bars.*<\[\]Object>.*DESCRIPTION:.*List of Bars and their specs.*FIELDS:.*bazs.*<\[\]string>.*List of Bazs.*name.*<string>.*Name of Bar/s,
  )
  const absent = await fixture.kubectl(['explain', `${plural}.spec.bars2`])
  assert.notEqual(absent.code, 0)
  assert.match(absent.errors, /field "bars2" does not exist/)
  await removed(fixture, custom, 'v1')
})

mirror(title('works for CRD without validation schema'), async (fixture) => {
  const custom = await define(fixture, [version('v1', OPEN)])
  await published(fixture, custom, 'v1', { type: 'object' })
  await accepted(fixture, custom, custom.object('v1', 'test-cr', { a: { b: [{ c: 'd' }] } }))
  await explained(fixture, custom.plural, /DESCRIPTION:.*<empty>/s)
  await removed(fixture, custom, 'v1')
})

mirror(title('works for CRD preserving unknown fields at the schema root'), async (fixture) => {
  const schema: Json = {
    ...waldo,
    description: 'preserve-unknown-properties at root for Testing',
    'x-kubernetes-preserve-unknown-fields': true,
  }
  const custom = await define(fixture, [version('v1', schema)])
  await published(fixture, custom, 'v1')
  await accepted(fixture, custom, custom.object('v1', 'test-cr', { a: { b: [{ c: 'd' }] } }))
  await explained(fixture, custom.plural, new RegExp(`KIND:.*${custom.kind}`, 's'))
  await removed(fixture, custom, 'v1')
})

mirror(title('works for CRD preserving unknown fields in an embedded object'), async (fixture) => {
  const schema: Json = {
    description: 'preserve-unknown-properties in nested field for Testing',
    type: 'object',
    properties: {
      spec: {
        ...OPEN,
        description: 'Specification of Waldo',
        properties: { dummy: text('Dummy property.') },
      },
    },
  }
  const custom = await define(fixture, [version('v1', schema)])
  await published(fixture, custom, 'v1')
  await accepted(
    fixture,
    custom,
    custom.object('v1', 'test-cr', { spec: { a: null, b: [{ c: 'd' }] } }),
  )
  await explained(
    fixture,
    custom.plural,
    /DESCRIPTION:.*preserve-unknown-properties in nested field for Testing/s,
  )
  await removed(fixture, custom, 'v1')
})

mirror(title('works for multiple CRDs of different groups'), async (fixture) => {
  const first = await define(fixture, [version('v1', foo)])
  const second = await define(fixture, [version('v1beta1', waldo)])
  assert.notEqual(first.group, second.group)
  await published(fixture, second, 'v1beta1', waldo)
  await published(fixture, first, 'v1', foo)
  await removed(fixture, first, 'v1')
  await removed(fixture, second, 'v1beta1')
})

mirror(title('works for multiple CRDs of same group but different versions'), async (fixture) => {
  const several = await define(fixture, [version('v2', foo), version('v3', foo)])
  await published(fixture, several, 'v3', foo)
  await published(fixture, several, 'v2', foo)
  await removed(fixture, several, 'v2', 'v3')
  const group = `${fixture.unique('common-group')}.example.com`
  const first = await define(fixture, [version('v4', foo)], { group })
  const second = await define(fixture, [version('v5', waldo)], { group })
  await published(fixture, second, 'v5', waldo)
  await published(fixture, first, 'v4', foo)
  await removed(fixture, first, 'v4')
  await removed(fixture, second, 'v5')
})

mirror(
  title('works for multiple CRDs of same group and version but different kinds'),
  async (fixture) => {
    const group = `${fixture.unique('common-group')}.example.com`
    const first = await define(fixture, [version('v6', foo)], { group })
    const second = await define(fixture, [version('v6', waldo)], { group })
    await published(fixture, second, 'v6', waldo)
    await published(fixture, first, 'v6', foo)
    await removed(fixture, first, 'v6')
    await removed(fixture, second, 'v6')
  },
)

mirror(title('updates the published spec when one version gets renamed'), async (fixture) => {
  const custom = await define(fixture, [version('v2', foo), version('v3', foo)])
  await published(fixture, custom, 'v3', foo)
  await published(fixture, custom, 'v2', foo)
  const path = '/spec/versions/1/name'
  await fixture.api.patch(
    `${DEFINITIONS}/${custom.name}`,
    [
      { op: 'test', path, value: 'v3' },
      { op: 'replace', path, value: 'v4' },
    ],
    'json',
  )
  await published(fixture, custom, 'v4', foo)
  await unpublished(fixture, custom, 'v3')
  await published(fixture, custom, 'v2', foo)
  await removed(fixture, custom, 'v2', 'v4')
})

mirror(
  title('removes definition from spec when one version gets changed to not be served'),
  async (fixture) => {
    const { api, until } = fixture
    const custom = await define(fixture, [version('v5', foo), version('v6alpha1', foo)])
    await published(fixture, custom, 'v6alpha1', foo)
    await published(fixture, custom, 'v5', foo)
    await until('the version is no longer served', async () => {
      const now = await api.get(`${DEFINITIONS}/${custom.name}`)
      now['spec'].versions[1].served = false
      const { status } = await api.call('PUT', `${DEFINITIONS}/${custom.name}`, { body: now })
      return status === 200
    })
    await unpublished(fixture, custom, 'v6alpha1')
    await published(fixture, custom, 'v5', foo)
    await removed(fixture, custom, 'v5')
  },
)
