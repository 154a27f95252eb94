/** What is written to, by whom, and what comes of it: what all writes share. */
import type { Env } from '#base'
import { badRequest, type JsonObject, type KubeObject, type ResourceDefinition } from '#machinery'
import type { Origin } from '#storage'
import type { Authorizer } from '../access.ts'
import type { AdmissionMetrics } from '../metrics/index.ts'
import type { AdmissionPlugin } from '../admission.ts'
import type { Codec } from '../codec/index.ts'
import type { Collection, StoredEntry } from '../collection.ts'
import type { Exchange } from '../exchange.ts'
import { textOf } from '../json.ts'

/** What all writes of a server share. */
export interface Writer {
  readonly env: Pick<Env, 'clock' | 'random' | 'log' | 'tracing'>
  readonly codec: Codec
  readonly admissionMetrics: AdmissionMetrics
  readonly admission: () => readonly AdmissionPlugin[]
  readonly authorizer: () => Authorizer
  /** By resource (group after a dot): things that are given out with an object, such as a Service's address. */
  readonly allocators: Readonly<Record<string, Allocator>>
}

/** Gives things out to objects, such that two never get the same. */
export interface Allocator {
  /** Completes the object, in place; throws 422 when what it asks for is taken. The result gives back what was new. */
  assign(object: JsonObject, old: KubeObject | undefined, options: { dryRun: boolean }): () => void
  /** The object is gone, or has changed to `now`. */
  settle(old: KubeObject, now: KubeObject | undefined): void
}

/** What is written to, and by whom. */
export interface WriteTarget {
  readonly exchange: Exchange
  readonly definition: ResourceDefinition
  readonly collection: Collection
  readonly namespace: string
  readonly subresource: string
}

/** What became of a write. */
export type Outcome =
  | {
      readonly type: 'stored'
      readonly created: boolean
      readonly bytes: Uint8Array
      readonly revision: number
      readonly object: () => KubeObject
    }
  /** It said what was there already. */
  | { readonly type: 'unchanged'; readonly entry: StoredEntry; readonly object: () => KubeObject }
  /** Nothing was stored: a dry run, or an update that was the end of the object. */
  | { readonly type: 'value'; readonly created: boolean; readonly object: () => KubeObject }

/** A resource as messages, metrics and tables of this server name it: `pods`, `deployments.apps`. */
export const idOf = ({ facts }: ResourceDefinition): string =>
  facts.group === '' ? facts.resource : `${facts.resource}.${facts.group}`

/** Heartbeats: made durable now and then. */
const VOLATILE: ReadonlySet<string> = new Set([
  'events',
  'events.events.k8s.io',
  'leases.coordination.k8s.io',
])

/** Whom the store notes as having made the write, and because of what. */
export const originOf = ({ env }: Writer, { exchange, definition }: WriteTarget): Origin => ({
  actor: exchange.user?.name ?? '',
  cause: exchange.cause ?? exchange.id,
  time: env.clock.now().getTime(),
  ...(VOLATILE.has(idOf(definition)) ? { volatile: true } : {}),
})

/** Who writes, for managedFields: as asked, or the client program's name. */
export function managerOf({ headers, user }: Exchange, asked: string): string {
  if (asked !== '') return asked
  const agent = headers['user-agent']
  if (agent !== undefined) return agent.split('/', 1)[0]!.slice(0, 128) || 'unknown'
  return user?.name.split(':').at(-1)?.slice(0, 128) || 'unknown'
}

/** An object that has its type's form has metadata. */
export const metadataOf = (object: JsonObject): JsonObject => object['metadata'] as JsonObject

/** The namespace of the path is the object's; where there is none, what an object says of one is forgotten. */
export function bindNamespace({ definition, namespace }: WriteTarget, object: JsonObject): void {
  const metadata = metadataOf(object)
  const given = textOf(metadata['namespace'])
  if (!definition.facts.namespaced) {
    delete metadata['namespace']
    return
  }
  if (given !== '' && given !== namespace)
    throw badRequest(
      'the namespace of the provided object does not match the namespace sent on the request',
    )
  metadata['namespace'] = namespace
}
