/** Resources that are answered and not stored: reviews, bindings by their own path, what others hold. */
import {
  apiVersionOf,
  badRequest,
  matchesFields,
  matchesLabels,
  notFound,
  parseFieldSelector,
  parseLabelSelector,
  type JsonObject,
  type KubeObject,
} from '#machinery'
import { readObject } from '../body.ts'
import { kindOf } from '../expected-kind.ts'
import type { Exchange, Reply } from '../exchange.ts'
import { textOf } from '../json.ts'
import { NO_SHAPES, negotiate } from '../negotiate.ts'
import { pathNotFound } from '../not-found.ts'
import { parseWriteOptions } from '../options.ts'
import { listKindOf, objectReply, withoutKind } from '../render/index.ts'
import { isInProcess, valueReply } from '../replies.ts'
import { admitOnly, idOf } from '../writes/index.ts'
import { methodNotAllowed, rendering, type Call } from './call.ts'
import { binding } from './subresources.ts'

/** Hands the body to whoever answers for this resource; 404 when nobody does. */
export async function virtual(call: Call): Promise<Reply> {
  const { exchange, info, definition, registry, codec } = call
  const id = idOf(definition)
  const { verbs } = definition.facts
  // What is only answered has no path of its own to name.
  if (info.name !== '' && verbs.every((verb) => verb === 'create')) throw pathNotFound()
  if (!verbs.includes(info.verb)) throw methodNotAllowed()
  if (id === 'bindings') {
    const pods = registry.get('', 'v1', 'pods')
    if (pods?.collection === undefined) throw pathNotFound()
    const podCall = { ...call, definition: pods.definition }
    // Admission sees what was asked for: a binding, and nothing of a pod.
    const asked = { exchange, definition, namespace: call.namespace, subresource: '' }
    return binding(podCall, pods.collection, '', asked)
  }
  if (info.verb === 'get' || info.verb === 'list') return virtualRead(call, id)
  const handler = call.extensions().virtualResources?.[id]
  if (handler === undefined) throw pathNotFound()
  // These answer a question: there is no table of it.
  const { encoding } = isInProcess(exchange)
    ? { encoding: 'json' as const }
    : negotiate(exchange.headers['accept'], NO_SHAPES)
  const options = parseWriteOptions(exchange.query, 'CreateOptions')
  const object = await readObject(codec, exchange, kindOf(definition), options.fieldValidation)
  const given = (object['metadata'] as JsonObject)['namespace']
  if (
    definition.facts.namespaced &&
    given !== undefined &&
    given !== '' &&
    given !== call.namespace
  )
    throw badRequest(
      'the namespace of the provided object does not match the namespace sent on the request',
    )
  const { name } = object['metadata'] as JsonObject
  await admitOnly(
    call.writer,
    { exchange, definition, namespace: call.namespace, subresource: '' },
    'CREATE',
    textOf(name),
    options,
    { object },
  )
  const answer = await handler(exchange, object)
  return valueReply(codec, exchange, 201, answer, encoding)
}

/** By labels, and by the fields that every object has. */
function selected({ query }: Exchange, objects: readonly KubeObject[]): readonly KubeObject[] {
  const labels = parseLabelSelector(query.get('labelSelector') ?? '')
  const fields = parseFieldSelector(query.get('fieldSelector') ?? '')
  if (labels.length === 0 && fields.length === 0) return objects
  return objects.filter(
    ({ metadata }) =>
      matchesLabels(labels, metadata.labels) &&
      matchesFields(fields, {
        'metadata.name': metadata.name,
        'metadata.namespace': metadata.namespace ?? '',
      }),
  )
}

async function virtualRead(call: Call, id: string): Promise<Reply> {
  const { exchange, info, definition, namespace, codec, env } = call
  const source = call.extensions().virtualReads?.[id]
  if (source === undefined) throw pathNotFound()
  const found = await source(exchange, { namespace, name: info.verb === 'get' ? info.name : '' })
  const objects = info.verb === 'get' ? found : selected(exchange, found)
  if (info.verb === 'get') {
    const [object] = objects
    if (object === undefined) throw notFound(definition.facts, info.name)
    return objectReply(rendering(call), 200, object)
  }
  const value = {
    kind: listKindOf(definition),
    apiVersion: apiVersionOf(definition.facts),
    metadata: {},
    items: objects,
  }
  if (isInProcess(exchange)) return { status: 200, headers: {}, value }
  const accepted = negotiate(exchange.headers['accept'], { Table: 'table' })
  const shown =
    accepted.shape === 'table'
      ? codec.encoder.table(
          definition,
          objects,
          {},
          { now: env.clock.now(), version: accepted.version },
        )
      : { ...value, items: objects.map((each) => withoutKind(definition, each)) }
  return valueReply(codec, exchange, 200, shown, accepted.encoding)
}
