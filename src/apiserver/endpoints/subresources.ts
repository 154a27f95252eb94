/** The endpoints below an object: its status, what it is connected by, bindings, evictions, tokens. */
import { StatusError, notFound, type JsonObject, type SubresourceFact } from '#machinery'
import { readObject } from '../body.ts'
import type { ExpectedKind } from '../expected-kind.ts'
import { readyEntry, type Collection } from '../collection.ts'
import { connectOptions } from './connect-options.ts'
import type { Reply } from '../exchange.ts'
import { textOf } from '../json.ts'
import { keyFor } from '../keys.ts'
import { parseWriteOptions } from '../options.ts'
import { BINDING, EVICTION, bindPod, evictPod } from './pod-subresources.ts'
import { pathNotFound } from '../not-found.ts'
import { getEntry } from '../reads/index.ts'
import type { Served } from '../registry.ts'
import { entryReply } from '../render/index.ts'
import { successStatus } from '../replies.ts'
import {
  admitOnly,
  bindNamespace,
  idOf,
  patchObject,
  type AdmissionTarget,
} from '../writes/index.ts'
import {
  methodNotAllowed,
  outcomeReply,
  plainReply,
  reading,
  rendering,
  writing,
  type Call,
} from './call.ts'
import { patchOptions, putObject } from './main-resource.ts'
import { scale } from './scale-endpoint.ts'

/** Answers a request for what lies below an object; 404 when its resource has no such part. */
export async function subresource(call: Call, served: Served): Promise<Reply> {
  const { info, definition, namespace } = call
  const { collection } = served
  const fact = definition.facts.subresources?.find((each) => each.name === info.subresource)
  // What a definition has brought names the object itself.
  if (fact === undefined && definition.isCustom === true)
    throw notFound(definition.facts, info.name)
  if (fact === undefined || collection === undefined) throw pathNotFound()
  await collection.ready
  const id = `${idOf(definition)}/${fact.name}`
  if (fact.connect === true || id === 'pods/log') return connect(call, collection, fact, id)
  if (!fact.verbs.includes(info.verb)) throw methodNotAllowed()
  switch (id) {
    case 'pods/binding':
      return binding(call, collection, info.name)
    case 'pods/eviction':
      return eviction(call, collection)
    case 'serviceaccounts/token':
      return token(call, collection)
  }
  if (fact.name === 'scale') return scale(call, collection)
  switch (info.verb) {
    case 'get': {
      const entry = await getEntry(reading(call, collection), namespace, info.name)
      return entryReply(rendering(call), 200, await readyEntry(call.definition, entry))
    }
    case 'update':
      return outcomeReply(call, await putObject(call, collection))
    case 'patch':
      return outcomeReply(
        call,
        await patchObject(call.writer, writing(call, collection), info.name, patchOptions(call)),
      )
    default:
      throw methodNotAllowed()
  }
}

const CONNECT_METHODS: Readonly<Record<string, readonly string[]>> = { log: ['GET'] }

async function connect(
  call: Call,
  collection: Collection,
  fact: SubresourceFact,
  id: string,
): Promise<Reply> {
  const { exchange, info, definition, namespace, writer } = call
  // Proxies pass on whatever is asked; the others are opened, and a log is read.
  const methods = CONNECT_METHODS[fact.name] ?? ['GET', 'POST']
  if (fact.name !== 'proxy' && !methods.includes(exchange.method)) throw methodNotAllowed()
  const handler = call.extensions().connect?.[id]
  if (handler === undefined)
    throw new StatusError('ServiceUnavailable', `this server has no ${id}: it runs without nodes`)
  if (fact.hasPath !== true && info.rest !== '' && info.rest !== '/') throw pathNotFound()
  const entry = collection.cache.get(keyFor(collection.prefix, namespace, info.name))
  const isProxy = fact.name === 'proxy'
  if (entry === undefined && !isProxy) throw notFound(definition.facts, info.name)
  if (fact.name !== 'log')
    await admitOnly(
      writer,
      writing(call, collection),
      'CONNECT',
      info.name,
      { dryRun: false, asObject: undefined },
      {
        object: connectOptions(fact, exchange.query, info.rest),
      },
    )
  return handler(exchange, {
    definition,
    namespace,
    name: info.name,
    subresource: fact.name,
    rest: info.rest,
    object: entry?.object,
  })
}

/** Gives a pod its node. `name` is empty where the body says which pod it is. */
export async function binding(
  call: Call,
  collection: Collection,
  name: string,
  asked?: AdmissionTarget,
): Promise<Reply> {
  const { exchange, writer, codec } = call
  const options = parseWriteOptions(exchange.query, 'CreateOptions')
  const object = await readObject(codec, exchange, BINDING, options.fieldValidation)
  const target = { ...writing(call, collection), subresource: 'binding' }
  bindNamespace(target, object)
  const podName = name === '' ? textOf((object['metadata'] as JsonObject)['name']) : name
  await bindPod(writer, target, podName, object, options, asked)
  return plainReply(call, 201, successStatus())
}

async function eviction(call: Call, collection: Collection): Promise<Reply> {
  const { exchange, writer, codec, registry, info } = call
  const options = parseWriteOptions(exchange.query, 'CreateOptions')
  const object = await readObject(codec, exchange, EVICTION, options.fieldValidation)
  const target = writing(call, collection)
  bindNamespace(target, object)
  await evictPod(writer, registry, target, info.name, object, options)
  return plainReply(call, 201, successStatus())
}

const TOKEN_REQUEST: ExpectedKind = {
  group: 'authentication.k8s.io',
  version: 'v1',
  kind: 'TokenRequest',
  type: 'io.k8s.api.authentication.v1.TokenRequest',
}

async function token(call: Call, collection: Collection): Promise<Reply> {
  const { exchange, writer, codec, info, namespace } = call
  const { issueToken } = call.extensions()
  if (issueToken === undefined)
    throw new StatusError('ServiceUnavailable', 'this server has no key to sign tokens with')
  const options = parseWriteOptions(exchange.query, 'CreateOptions')
  const request = await readObject(codec, exchange, TOKEN_REQUEST, options.fieldValidation)
  const target = writing(call, collection)
  bindNamespace(target, request)
  const account = await getEntry(reading(call, collection), namespace, info.name)
  await admitOnly(writer, target, 'CREATE', info.name, options, { object: request })
  return plainReply(call, 201, await issueToken(exchange, account.object, request))
}
