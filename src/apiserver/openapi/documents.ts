/** The documents as bytes: made when first asked for, kept until what they describe changes. */
import { createHash } from 'node:crypto'
import {
  definitionsOf,
  mergeOpenApiV2,
  openApiName,
  openApiV2,
  openApiV3,
  openApiV3Discovery,
  openApiV3Index,
  type ExtraSchemas,
  type JsonObject,
  type OpenApiOptions,
  type QueryParameters,
  type ResourceDefinition,
  type TypeTable,
} from '#machinery'
import resourcesJson from '../../../facts/resources.json' with { type: 'json' }
import type { Descriptions } from '../descriptions.ts'
import { pause } from '../render.ts'

export interface OpenApiSource {
  /** What is served now, custom resources too. A changed resource is a new definition. */
  definitions(): readonly ResourceDefinition[]
  readonly types: TypeTable
  /** Shown as the version of the documents. */
  readonly version: string
  readonly descriptions?: Descriptions
  /** Schemas of resources that are in no type table, by definition name: `customSchemas` makes them. */
  readonly schemas?: (
    definition: ResourceDefinition,
    dialect: 'v2' | 'v3',
  ) => ExtraSchemas | undefined
}

export interface Document {
  readonly bytes: Uint8Array
  /** Names the content: SHA-256, in capital hexadecimal digits. */
  readonly hash: string
}

export interface Documents {
  /** Undefined when there is no document of that name. */
  v3(name: string): Promise<Document> | undefined
  index(): Promise<Document>
  v2(): Promise<Document & { readonly value: JsonObject }>
}

const queryParameters = (resourcesJson as unknown as { readonly queryParameters: QueryParameters })
  .queryParameters

/** Something made once from a list of definitions, and again when the list is another one. */
class Made<T> {
  #from: readonly unknown[] | undefined
  #value: Promise<T> | undefined
  get(from: readonly unknown[], make: () => Promise<T>): Promise<T> {
    if (this.#value !== undefined && this.#from !== undefined && same(this.#from, from))
      return this.#value
    const value = make()
    this.#from = from
    this.#value = value
    // A failure is not remembered.
    value.catch(() => {
      if (this.#value === value) this.#value = undefined
    })
    return value
  }
}
const same = (a: readonly unknown[], b: readonly unknown[]): boolean =>
  a.length === b.length && a.every((each, i) => each === b[i])

export function openApiDocuments(source: OpenApiSource): Documents {
  const { types, descriptions, version } = source
  const v3Documents = new Map<string, Made<Document>>()
  const v2Parts = new Map<string, Made<JsonObject>>()
  const indexDocument = new Made<Document>()
  const v2Document = new Made<Document & { readonly value: JsonObject }>()

  const groupVersions = (): ReadonlyMap<string, readonly ResourceDefinition[]> =>
    Map.groupBy(source.definitions(), ({ facts }) => openApiName(facts))
  const groups = (): readonly string[] => [
    ...new Set(source.definitions().map(({ facts }) => facts.group)),
  ]

  async function optionsFor(
    definitions: readonly ResourceDefinition[],
    dialect: 'v2' | 'v3',
  ): Promise<OpenApiOptions> {
    const schemas: Record<string, JsonObject> = {}
    for (const definition of definitions)
      Object.assign(schemas, source.schemas?.(definition, dialect))
    const options = { queryParameters, version, schemas }
    if (descriptions === undefined) return options
    const names = definitionsOf(
      types,
      definitions.map(({ facts }) => facts),
      options,
    )
    return { ...options, describe: await descriptions.load(names) }
  }

  async function buildV3(definitions: readonly ResourceDefinition[]): Promise<Document> {
    const options = await optionsFor(definitions, 'v3')
    const facts = definitions.map((each) => each.facts)
    return toDocument(openApiV3(types, facts, options))
  }

  const made = <T>(map: Map<string, Made<T>>, name: string): Made<T> => {
    let found = map.get(name)
    if (found === undefined) map.set(name, (found = new Made()))
    return found
  }

  const discovery = (): Readonly<Record<string, unknown>> =>
    openApiV3Discovery(types, groups(), { queryParameters, version })

  async function buildDiscovery(name: string): Promise<Document> {
    const options = await optionsFor([], 'v3')
    return toDocument(openApiV3Discovery(types, groups(), options)[name]?.() ?? {})
  }

  function v3(
    name: string,
    versions = groupVersions(),
    others = discovery(),
  ): Promise<Document> | undefined {
    const definitions = versions.get(name)
    if (definitions !== undefined)
      return made(v3Documents, name).get(definitions, () => buildV3(definitions))
    // These are small, and say the same whatever is served.
    if (others[name] === undefined) return undefined
    return made(v3Documents, name).get([], () => buildDiscovery(name))
  }

  async function buildIndex(): Promise<Document> {
    const versions = groupVersions()
    const others = discovery()
    const hashes = new Map<string, string>()
    for (const name of [...versions.keys(), ...Object.keys(others)]) {
      const document = await v3(name, versions, others)
      if (document !== undefined) hashes.set(name, document.hash)
      await pause()
    }
    // What is no longer served is forgotten.
    for (const name of v3Documents.keys()) if (!hashes.has(name)) v3Documents.delete(name)
    return toDocument(openApiV3Index(hashes))
  }

  async function buildV2(): Promise<Document & { readonly value: JsonObject }> {
    const versions = groupVersions()
    const parts: JsonObject[] = []
    for (const [name, definitions] of versions) {
      parts.push(
        await made(v2Parts, name).get(definitions, async () => {
          const options = await optionsFor(definitions, 'v2')
          const facts = definitions.map((each) => each.facts)
          return openApiV2(types, facts, options)
        }),
      )
      await pause()
    }
    for (const name of v2Parts.keys()) if (!versions.has(name)) v2Parts.delete(name)
    const value = mergeOpenApiV2(parts)
    await pause()
    return { ...(await toDocument(value)), value }
  }

  return {
    v3: (name) => v3(name),
    index: () => indexDocument.get(source.definitions(), buildIndex),
    v2: () => v2Document.get(source.definitions(), buildV2),
  }
}

/** So much text is made before others get their turn: about a millisecond's work. */
const SLICE_CHARACTERS = 256 * 1024
/** Below this level, parts are small. */
const SLICED_LEVELS = 3

async function toDocument(value: JsonObject): Promise<Document> {
  const hash = createHash('sha256')
  const chunks: Uint8Array[] = []
  const encoder = new TextEncoder()
  let text = ''
  const flush = async (): Promise<void> => {
    const chunk = encoder.encode(text)
    text = ''
    hash.update(chunk)
    chunks.push(chunk)
    await pause()
  }
  for (const part of jsonParts(value, SLICED_LEVELS)) {
    text += part
    if (text.length >= SLICE_CHARACTERS) await flush()
  }
  await flush()
  return { bytes: Buffer.concat(chunks), hash: hash.digest('hex').toUpperCase() }
}

/** The text of a value, in parts: members of objects down to `levels` are parts of their own. */
function* jsonParts(value: unknown, levels: number): Generator<string> {
  if (levels === 0 || value === null || typeof value !== 'object' || Array.isArray(value)) {
    yield JSON.stringify(value)
    return
  }
  let before = '{'
  for (const [key, member] of Object.entries(value)) {
    if (member === undefined) continue
    yield `${before}${JSON.stringify(key)}:`
    yield* jsonParts(member, levels - 1)
    before = ','
  }
  yield before === '{' ? '{}' : '}'
}
