/** The documents as bytes: made when first asked for, kept until what they describe changes. */
import { pause } from '#base'
import {
  definitionsOf,
  encodeOpenApiDefinition,
  encodeOpenApiHead,
  encodeOpenApiPath,
  openApiMemberStart,
  openApiName,
  openApiV2,
  openApiV2ToV3,
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
import { ByteWriter, jsonParts } from './bytes.ts'

export interface OpenApiSource {
  /** What is served now, custom resources too. A changed resource is a new definition. */
  definitions(): readonly ResourceDefinition[]
  /** The types that these definitions use. */
  types(definitions: readonly ResourceDefinition[]): TypeTable
  /** What other servers say of their APIs. */
  readonly remotes?: () => readonly RemoteDocuments[]
  /** Shown as the version of the documents. */
  readonly version: string
  /** What the texts in the documents are; without, there are none. */
  readonly descriptions?: Descriptions
  /** Schemas that a definition publishes as they are: `customSchemas` makes them. */
  readonly schemas?: (
    definition: ResourceDefinition,
    dialect: 'v2' | 'v3',
  ) => ExtraSchemas | undefined
}

export interface RemoteDocuments {
  readonly group: string
  readonly version: string
  /** OpenAPI v2, of this group version alone. */
  readonly described: V2 | undefined
  /** Of its v3 document, which it serves itself; undefined when it has none. */
  readonly v3Hash: string | undefined
}

export interface Document {
  readonly bytes: Uint8Array
  /** Names the content: SHA-256, in capital hexadecimal digits. */
  readonly hash: string
}

export interface Documents {
  /** One group version; undefined when there is no document of that name. */
  v3(name: string): Promise<Document> | undefined
  index(): Promise<Document>
  v2(): Promise<Document>
  /** The same in protobuf. */
  v2Protobuf(): Promise<Document>
}

const queryParameters = (resourcesJson as unknown as { readonly queryParameters: QueryParameters })
  .queryParameters

/** Something made from a list of definitions, and made again when the list is another one. */
class Made {
  #from: readonly unknown[] = []
  #document: Promise<Document> | undefined

  get(from: readonly unknown[], make: () => Promise<Document>): Promise<Document> {
    if (this.#document !== undefined && same(this.#from, from)) return this.#document
    const document = make()
    this.#from = from
    this.#document = document
    // A failure is not remembered.
    document.catch(() => {
      if (this.#document === document) this.#document = undefined
    })
    return document
  }
}
const same = (a: readonly unknown[], b: readonly unknown[]): boolean =>
  a.length === b.length && a.every((each, i) => each === b[i])

export function openApiDocuments(source: OpenApiSource): Documents {
  const { descriptions, version } = source
  const v3Documents = new Map<string, Made>()
  const whole = { index: new Made(), v2: new Made(), v2Protobuf: new Made() }

  type GroupVersions = ReadonlyMap<string, readonly ResourceDefinition[]>
  const groupVersions = (): GroupVersions =>
    Map.groupBy(source.definitions(), ({ facts }) => openApiName(facts))
  const groups = (): readonly string[] => [
    ...new Set(source.definitions().map(({ facts }) => facts.group)),
  ]
  const discovery = (options: OpenApiOptions): Readonly<Record<string, () => JsonObject>> =>
    openApiV3Discovery(source.types([]), groups(), options)
  const plain: OpenApiOptions = { queryParameters, version }

  /** What the documents of the whole are made from. */
  const everything = (): readonly unknown[] => [
    ...source.definitions(),
    ...(source.remotes?.() ?? []).flatMap(({ described, v3Hash }) => [described, v3Hash]),
  ]

  async function optionsFor(
    definitions: readonly ResourceDefinition[],
    dialect: 'v2' | 'v3',
  ): Promise<OpenApiOptions> {
    const schemas: Record<string, JsonObject> = {}
    for (const definition of definitions)
      Object.assign(schemas, source.schemas?.(definition, dialect))
    const options = { ...plain, schemas }
    if (descriptions === undefined) return options
    const names = definitionsOf(source.types(definitions), factsOf(definitions), options)
    return { ...options, describe: await descriptions.load(names) }
  }

  async function makeV3(definitions: readonly ResourceDefinition[]): Promise<Document> {
    const options = await optionsFor(definitions, 'v3')
    return toDocument(openApiV3(source.types(definitions), factsOf(definitions), options))
  }

  async function makeDiscovery(name: string): Promise<Document> {
    const options = await optionsFor([], 'v3')
    return toDocument(discovery(options)[name]?.() ?? {})
  }

  function v3(
    name: string,
    definitions: readonly ResourceDefinition[] | undefined,
    isDiscovery: boolean,
  ): Promise<Document> | undefined {
    if (definitions === undefined && !isDiscovery) return undefined
    let made = v3Documents.get(name)
    if (made === undefined) v3Documents.set(name, (made = new Made()))
    // What says where things are is the same whatever is served.
    return definitions === undefined
      ? made.get([], () => makeDiscovery(name))
      : made.get(definitions, () => makeV3(definitions))
  }

  /** Of another server that has no document of v3: made from what it says in v2. */
  function remoteV3(name: string): Promise<Document> | undefined {
    const remote = source
      .remotes?.()
      .find(({ group, version: of }) => name === `apis/${group}/${of}`)
    const described = remote?.v3Hash === undefined ? remote?.described : undefined
    if (described === undefined) return undefined
    let made = v3Documents.get(name)
    if (made === undefined) v3Documents.set(name, (made = new Made()))
    return made.get([described], () =>
      toDocument(openApiV2ToV3(described, { title: 'Kubernetes', version })),
    )
  }

  async function makeIndex(): Promise<Document> {
    const versions = groupVersions()
    const others = Object.keys(discovery(plain))
    const hashes = new Map<string, string>()
    for (const name of [...versions.keys(), ...others]) {
      const document = await v3(name, versions.get(name), true)
      if (document !== undefined) hashes.set(name, document.hash)
      await pause()
    }
    for (const { group, version: of, v3Hash } of source.remotes?.() ?? []) {
      const name = `apis/${group}/${of}`
      const hash = v3Hash ?? (await remoteV3(name))?.hash
      if (hash !== undefined) hashes.set(name, hash)
    }
    // What is no longer served is forgotten.
    for (const name of v3Documents.keys()) if (!hashes.has(name)) v3Documents.delete(name)
    return toDocument(openApiV3Index(hashes))
  }

  /** The v2 document of each group version. What they share is in several of them. */
  async function* v2Parts(): AsyncGenerator<V2> {
    for (const definitions of groupVersions().values()) {
      const options = await optionsFor(definitions, 'v2')
      yield openApiV2(source.types(definitions), factsOf(definitions), options) as unknown as V2
      await pause()
    }
    for (const { described } of source.remotes?.() ?? []) if (described) yield described
  }

  async function makeV2(): Promise<Document> {
    let rest: Partial<V2> | undefined
    const paths: Record<string, unknown> = {}
    const definitions: Record<string, unknown> = {}
    for await (const part of v2Parts()) {
      // The first is our own, and says what the document is. What is there already is not another's to say.
      rest ??= part
      for (const [path, item] of Object.entries(part.paths)) paths[path] ??= item
      for (const [name, each] of Object.entries(part.definitions)) definitions[name] ??= each
    }
    return toDocument({ ...rest, paths: sorted(paths), definitions: sorted(definitions) })
  }

  async function makeV2Protobuf(): Promise<Document> {
    const writer = new ByteWriter(pause)
    const seen = new Set<string>()
    const paths: Uint8Array[] = []
    const definitions: Uint8Array[] = []
    for await (const part of v2Parts()) {
      if (seen.size === 0) await writer.bytes(encodeOpenApiHead(part as unknown as JsonObject))
      for (const [path, item] of unseen(part.paths, seen)) paths.push(encodeOpenApiPath(path, item))
      await pause()
      for (const [name, definition] of unseen(part.definitions, seen))
        definitions.push(encodeOpenApiDefinition(name, definition))
    }
    const members = { paths, definitions }
    for (const name of ['paths', 'definitions'] as const) {
      const length = members[name].reduce((sum, { byteLength }) => sum + byteLength, 0)
      await writer.bytes(openApiMemberStart(name, length))
      for (const bytes of members[name]) await writer.bytes(bytes)
    }
    return writer.end()
  }

  return {
    v3: (name) =>
      remoteV3(name) ?? v3(name, groupVersions().get(name), discovery(plain)[name] !== undefined),
    index: () => whole.index.get(everything(), makeIndex),
    v2: () => whole.v2.get(everything(), makeV2),
    v2Protobuf: () => whole.v2Protobuf.get(everything(), makeV2Protobuf),
  }
}

interface V2 {
  readonly paths: Readonly<Record<string, unknown>>
  readonly definitions: Readonly<Record<string, unknown>>
}

const factsOf = (definitions: readonly ResourceDefinition[]): ResourceDefinition['facts'][] =>
  definitions.map(({ facts }) => facts)

const sorted = (entries: Readonly<Record<string, unknown>>): JsonObject =>
  Object.fromEntries(Object.entries(entries).toSorted(([a], [b]) => (a < b ? -1 : 1)))

/** Paths begin with a slash and definitions do not: one set does for both. */
function* unseen(
  entries: Readonly<Record<string, unknown>>,
  seen: Set<string>,
): Generator<readonly [string, unknown]> {
  for (const entry of Object.entries(entries)) {
    if (seen.has(entry[0])) continue
    seen.add(entry[0])
    yield entry
  }
}

async function toDocument(value: JsonObject): Promise<Document> {
  const writer = new ByteWriter(pause)
  for (const part of jsonParts(value)) await writer.text(part)
  return writer.end()
}
