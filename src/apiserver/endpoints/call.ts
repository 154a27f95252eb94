/** A request to a resource with all that answering it takes, and the answers that endpoints share. */
import type { Env } from '#base'
import { StatusError, type ResourceDefinition } from '#machinery'
import type { Codec } from '../codec/index.ts'
import type { Collection } from '../collection.ts'
import type { Exchange, Reply, RequestInfo } from '../exchange.ts'
import type { RequestMetrics } from '../metrics/index.ts'
import { negotiate } from '../negotiate.ts'
import type { ReadContext } from '../reads/index.ts'
import type { Registry } from '../registry.ts'
import { entryReply, objectReply, writtenReply, type RenderContext } from '../render/index.ts'
import { isInProcess, valueReply } from '../replies.ts'
import type { Extensions } from '../extensions.ts'
import type { Outcome, WriteTarget, Writer } from '../writes/index.ts'

/** What all requests for resources share. */
export interface Dispatcher {
  readonly env: Pick<Env, 'clock' | 'random' | 'log' | 'metrics'>
  readonly codec: Codec
  readonly registry: Registry
  readonly writer: Writer
  readonly metrics: RequestMetrics
  readonly extensions: () => Extensions
}

/** One request for a resource that is there. */
export interface Call extends Dispatcher {
  readonly exchange: Exchange
  readonly info: RequestInfo
  readonly definition: ResourceDefinition
  readonly namespace: string
}

/** 405 of a verb that what is named does not have. */
export const methodNotAllowed = (): StatusError =>
  new StatusError(
    'MethodNotAllowed',
    'the server does not allow this method on the requested resource',
    { details: {} },
  )

/** What the answer needs to know to take its shape and encoding. */
export const rendering = ({ codec, exchange, definition, env }: Call): RenderContext => ({
  codec,
  exchange,
  definition,
  clock: env.clock,
})
/** The call as a read of what the collection holds. */
export const reading = (
  { definition, exchange, env }: Call,
  collection: Collection,
): ReadContext => ({
  definition,
  collection,
  clock: env.clock,
  signal: exchange.signal,
})
/** The call as a write of its object, or of the subresource that it names. */
export const writing = (call: Call, collection: Collection): WriteTarget => ({
  exchange: call.exchange,
  definition: call.definition,
  collection,
  namespace: call.namespace,
  subresource: call.info.subresource,
})

/** What a create, update or patch answers: 201 for what is new, else 200. */
export function outcomeReply(call: Call, outcome: Outcome): Reply {
  const context = rendering(call)
  switch (outcome.type) {
    case 'stored':
      return writtenReply(
        context,
        outcome.created ? 201 : 200,
        outcome.bytes,
        outcome.revision,
        outcome.object,
      )
    case 'unchanged':
      return call.definition.convert?.ahead === undefined
        ? entryReply(context, 200, outcome.entry)
        : objectReply(context, 200, outcome.object())
    case 'value':
      return objectReply(context, outcome.created ? 201 : 200, outcome.object())
  }
}

/** An answer that has no other shape. */
export function plainReply({ codec, exchange }: Call, status: number, value: unknown): Reply {
  if (isInProcess(exchange)) return { status, headers: {}, value }
  const { encoding } = negotiate(exchange.headers['accept'], STATUS_SHAPES)
  return valueReply(codec, exchange, status, value, encoding)
}
/** Who asks for a table of what is deleted is given the Status as it is. */
const STATUS_SHAPES = { Table: 'object', PartialObjectMetadata: 'object' } as const
