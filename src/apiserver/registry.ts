/** Which resources are served: a table that changes while the server runs, because custom resources come and go. */
import type { Env } from '#base'
import type { ResourceDefinition } from '#machinery'
import type { Storage } from '#storage'
import { Collection } from './collection.ts'

export interface Served {
  readonly definition: ResourceDefinition
  /** Absent for resources that are answered and not stored. */
  readonly collection: Collection | undefined
}

const nameOf = (group: string, version: string, resource: string): string =>
  `${group}/${version}/${resource}`

/** The resources that are served now. Custom ones come and go. */
export class Registry {
  readonly #served = new Map<string, Served>()
  readonly #collections = new Map<string, Collection>()
  readonly #storage: Storage
  readonly #env: Pick<Env, 'clock' | 'metrics'>
  readonly #freeze: boolean
  readonly #onCollection: (collection: Collection, definition: ResourceDefinition) => void
  /** Grows with each change: what is derived from the table is remembered by it. */
  version = 0

  constructor(
    storage: Storage,
    env: Pick<Env, 'clock' | 'metrics'>,
    options: {
      readonly freeze: boolean
      readonly onCollection?: (collection: Collection, definition: ResourceDefinition) => void
    },
  ) {
    this.#storage = storage
    this.#env = env
    this.#freeze = options.freeze
    this.#onCollection = options.onCollection ?? (() => undefined)
  }

  /** How many objects there are, by resource. */
  *objectCounts(): Generator<readonly [resource: string, count: number]> {
    const seen = new Set<Collection>()
    for (const { definition, collection } of this.#served.values()) {
      if (collection === undefined || seen.has(collection)) continue
      seen.add(collection)
      const { group, resource } = definition.facts
      yield [group === '' ? resource : `${resource}.${group}`, collection.cache.size]
    }
  }

  add(definition: ResourceDefinition): Served {
    const { group, version, resource, persisted } = definition.facts
    const served: Served = {
      definition,
      collection: persisted ? this.#open(definition) : undefined,
    }
    this.#served.set(nameOf(group, version, resource), served)
    this.version++
    return served
  }

  #open(definition: ResourceDefinition): Collection {
    const before = this.#collections.get(definition.storagePrefix)
    if (before !== undefined) {
      before.join(definition)
      return before
    }
    const collection = new Collection(this.#storage, definition, this.#env, this.#freeze)
    this.#collections.set(definition.storagePrefix, collection)
    this.#onCollection(collection, definition)
    return collection
  }

  remove({ facts }: Pick<ResourceDefinition, 'facts'>): void {
    const name = nameOf(facts.group, facts.version, facts.resource)
    const served = this.#served.get(name)
    if (served === undefined) return
    this.#served.delete(name)
    this.version++
    const { collection } = served
    if (collection === undefined) return
    for (const other of this.#served.values()) if (other.collection === collection) return
    this.#collections.delete(collection.prefix)
    collection.close()
  }

  get(group: string, version: string, resource: string): Served | undefined {
    return this.#served.get(nameOf(group, version, resource))
  }

  /** In the version asked for, or the first one served. */
  find(group: string, resource: string, version?: string): Served | undefined {
    if (version !== undefined) return this.get(group, version, resource)
    for (const served of this.#served.values()) {
      const { facts } = served.definition
      if (facts.group === group && facts.resource === resource) return served
    }
    return undefined
  }

  *[Symbol.iterator](): Generator<Served> {
    yield* this.#served.values()
  }

  collections(): Iterable<Collection> {
    return this.#collections.values()
  }

  close(): void {
    for (const collection of this.#collections.values()) collection.close()
  }
}
