/** What the server gives to the parts that are built upon it. */
import type { Transport } from '#client'
import type {
  JsonObject,
  KubeObject,
  RequestUser,
  ResourceDefinition,
  ResourceRef,
} from '#machinery'

/**
 * Reads of the newest state, straight from the watch cache: for authorizers and admission plugins, which
 * run inside every request and may not wait. Objects are shared: read only.
 */
export interface Reader {
  get<T extends KubeObject>(ref: ResourceRef<T>, namespace: string, name: string): T | undefined
  /** All objects, or those of one namespace, in key order. */
  list<T extends KubeObject>(ref: ResourceRef<T>, namespace?: string): readonly T[]
  /** Calls back after each change of the resource; the returned function ends that. */
  onChange<T extends KubeObject>(
    ref: ResourceRef<T>,
    run: (change: { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly object: T }) => void,
  ): () => void
  /** The resource's newest revision that a read can see. */
  revision(): number
}

/** What the server gives to the parts that are built upon it. */
export interface ServerInside {
  readonly read: Reader
  /** Requests with this identity, through the whole chain. */
  transport(user: RequestUser): Transport
  /** The definitions that are served now, custom resources too. */
  definitions(): readonly ResourceDefinition[]
  definitionOf(group: string, resource: string, version?: string): ResourceDefinition | undefined
  /** The object with a part laid over it, as its type says. Throws for parts of what can only be replaced. */
  merge(definition: ResourceDefinition, object: JsonObject, configuration: JsonObject): JsonObject
}
