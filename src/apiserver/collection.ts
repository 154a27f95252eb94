/** What is stored under one prefix: its cache, shared by all versions and endpoints that show it. */
import type { Env } from '#base'
import { fromWireForm } from '#api'
import { StatusError, type JsonObject, type KubeObject, type ResourceDefinition } from '#machinery'
import {
  CompactedError,
  WatchCache,
  isEmbedded,
  parseJson,
  type CacheEntry,
  type ObjectIndex,
  type Origin,
  type Revision,
  type Storage,
  type Write,
} from '#storage'
import { storageCounts } from './metrics/index.ts'

export type StoredEntry = CacheEntry<KubeObject>

/** How long a read waits for a revision that it was told of and has not seen. */
const FRESHNESS_WAIT_MS = 3000
/** Parsed objects kept, by the bytes of their JSON: most resources are few. */
const PARSED_BYTES = 8 * 1024 * 1024
const PARSED_BYTES_OF: Readonly<Record<string, number>> = {
  pods: 64 * 1024 * 1024,
  replicasets: 16 * 1024 * 1024,
  endpointslices: 16 * 1024 * 1024,
}

type Operation = 'create' | 'update' | 'delete'

/** A resource in the store: its writes, and the watch cache that all reads come from. */
export class Collection {
  readonly prefix: string
  readonly cache: WatchCache<KubeObject>
  /** Resolves once reads are possible. */
  readonly ready: Promise<void>
  #isReady = false
  readonly storage: Storage
  readonly #clock: Env['clock']
  readonly #local: boolean
  readonly #written: Partial<Record<Operation, ReturnType<typeof storageCounts>>> = {}
  readonly #counts: (operation: Operation) => ReturnType<typeof storageCounts>
  /** The definition whose version is the stored one, when it is served at all. */
  #fields: (object: KubeObject) => Readonly<Record<string, string>>
  #isStoredForm: boolean

  constructor(
    storage: Storage,
    definition: ResourceDefinition,
    { clock, metrics }: Pick<Env, 'clock' | 'metrics'>,
    freeze: boolean,
  ) {
    this.#counts = (operation) => storageCounts(metrics, operation, definition.facts)
    this.prefix = definition.storagePrefix
    this.storage = storage
    this.#clock = clock
    this.#local = isEmbedded(storage)
    this.#fields = fieldsOf(definition)
    this.#isStoredForm = definition.convert === undefined
    this.cache = new WatchCache<KubeObject>({
      storage,
      prefix: this.prefix,
      clock,
      freeze,
      decode: readStored,
      extract: (object) => this.#index(object),
      parsedBytes: PARSED_BYTES_OF[definition.facts.resource] ?? PARSED_BYTES,
    })
    this.ready = this.cache.start()
    this.ready.then(
      () => (this.#isReady = true),
      () => undefined,
    )
  }

  /** Whether `ready` has resolved: nearly all requests find it so, and need not wait. */
  get isReady(): boolean {
    return this.#isReady
  }

  /** Another version of what is here is served too. */
  join(definition: ResourceDefinition): void {
    if (definition.convert !== undefined && this.#isStoredForm) return
    this.#isStoredForm = definition.convert === undefined
    this.#fields = fieldsOf(definition)
  }

  #index(object: KubeObject): ObjectIndex {
    const { metadata } = object
    const fields: Record<string, string> = {
      ...this.#fields(object),
      'metadata.name': metadata.name,
      'metadata.namespace': metadata.namespace ?? '',
    }
    return { labels: metadata.labels, fields }
  }

  /** Returns once the cache shows everything that was written before the call. */
  async refresh(signal: AbortSignal): Promise<void> {
    if (this.#local) return
    const { revision } = await this.storage.list({ prefix: this.prefix }, { limit: 1 })
    await this.waitFor(revision, signal)
  }

  /** Returns once the cache has reached the revision; throws the 504 that clients know when that takes too long. */
  async waitFor(revision: Revision, signal: AbortSignal): Promise<void> {
    if (this.cache.revision >= revision) return
    const late = new AbortController()
    const stop = () => late.abort()
    const cancel = this.#clock.schedule(FRESHNESS_WAIT_MS, stop)
    signal.addEventListener('abort', stop)
    try {
      await this.cache.waitFor(revision, late.signal)
    } catch {
      throw tooLargeRevision(revision, this.cache.revision)
    } finally {
      cancel()
      signal.removeEventListener('abort', stop)
    }
  }

  create(key: string, value: Uint8Array, origin: Origin): Promise<Write> {
    return this.#timed('create', this.storage.create(key, value, origin))
  }

  update(key: string, value: Uint8Array, expected: Revision, origin: Origin): Promise<Write> {
    return this.#timed('update', this.storage.update(key, value, expected, origin))
  }

  delete(key: string, expected: Revision, origin: Origin): Promise<Write> {
    return this.#timed('delete', this.storage.delete(key, expected, origin))
  }

  #timed(operation: Operation, write: Promise<Write>): Promise<Write> {
    const started = this.#clock.monotonic()
    const counts = (this.#written[operation] ??= this.#counts(operation))
    counts.total.add()
    const took = (): void => counts.times.observe((this.#clock.monotonic() - started) / 1000)
    write.then(took, () => {
      counts.errors().add()
      took()
    })
    return write
  }

  close(): void {
    this.cache.close()
  }
}

const NULL = Buffer.from(':null')

/** Stored bytes are as clients get them; code sees nothing where those have null. */
function readStored(bytes: Uint8Array, revision: Revision): KubeObject {
  const object = parseJson<KubeObject>(bytes, revision)
  if (Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).includes(NULL))
    fromWireForm(object)
  return object
}

const fieldsOf = ({
  fields,
  convert,
  isCustom = false,
}: ResourceDefinition): ResourceDefinition['fields'] =>
  convert === undefined || isCustom
    ? fields
    : (object) => fields(convert.fromStorage(object) as unknown as KubeObject)

export const tooLargeRevision = (revision: Revision, current: Revision): StatusError =>
  new StatusError('Timeout', `Too large resource version: ${revision}, current: ${current}`, {
    details: {
      causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }],
      retryAfterSeconds: 1,
    },
  })

export const isCompacted = (error: unknown): error is CompactedError =>
  error instanceof CompactedError

export const tooOld = (): StatusError =>
  new StatusError('Expired', 'The resourceVersion for the provided list is too old.')

/** Objects of another version than the stored one are made once for all who look. */
const converted = new WeakMap<KubeObject, Map<object, KubeObject>>()

/** The object as the definition's version shows it. */
export function shownAs(definition: ResourceDefinition, stored: KubeObject): KubeObject {
  const { convert } = definition
  if (convert === undefined) return stored
  let forms = converted.get(stored)
  if (forms === undefined) converted.set(stored, (forms = new Map()))
  let form = forms.get(convert)
  if (form === undefined) {
    form = convert.fromStorage(stored) as unknown as KubeObject
    forms.set(convert, form)
  }
  return form
}

/** The object as it is stored: what a definition of another version wrote is converted. */
export function storedForm(
  { convert }: ResourceDefinition,
  object: JsonObject,
): JsonObject | Promise<JsonObject> {
  if (convert === undefined) return object
  return convert.ahead === undefined
    ? convert.toStorage(object)
    : convert.ahead.toStorage(object).then(convert.toStorage)
}

/** Entries of webhooks' making, for as long as the cache has the entry that they were made of. */
const ahead = new WeakMap<StoredEntry, Map<object, StoredEntry>>()

/** The entries with their objects in the definition's version where that takes a webhook; the others as they are. */
export async function readyEntries(
  definition: ResourceDefinition,
  entries: readonly StoredEntry[],
): Promise<readonly StoredEntry[]> {
  const conversion = definition.convert?.ahead
  if (conversion === undefined) return entries
  const known = (entry: StoredEntry): StoredEntry | undefined => ahead.get(entry)?.get(conversion)
  const missing = entries.filter(
    (entry) => known(entry) === undefined && conversion.isNeeded(entry.object),
  )
  if (missing.length > 0) {
    const objects = await conversion.fromStorage(missing.map(({ object }) => object))
    for (const [i, entry] of missing.entries()) {
      let forms = ahead.get(entry)
      if (forms === undefined) ahead.set(entry, (forms = new Map()))
      forms.set(conversion, withObject(entry, objects[i]!))
    }
  }
  return entries.map((entry) => known(entry) ?? entry)
}

export async function readyEntry(
  definition: ResourceDefinition,
  entry: StoredEntry,
): Promise<StoredEntry> {
  if (definition.convert?.ahead === undefined) return entry
  const [ready = entry] = await readyEntries(definition, [entry])
  return ready
}

const withObject = (
  { key, modified, created, bytes, index }: StoredEntry,
  object: KubeObject,
): StoredEntry => ({ key, modified, created, bytes, index, object })
