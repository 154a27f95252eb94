/** The verbs of a resource itself: each is one call of reading, watching or writing. */
import { readDeleteOptions, readNewObject, readObject } from '../body.ts'
import { kindOf } from '../expected-kind.ts'
import { readyEntry, type Collection } from '../collection.ts'
import type { Reply } from '../exchange.ts'
import { PageNotFound } from '../not-found.ts'
import {
  parseDeleteOptions,
  parseListOptions,
  parseWriteOptions,
  type DeleteOptions,
  type WriteOptions,
} from '../options.ts'
import { getEntry, listEntries } from '../reads/index.ts'
import { entryReply, listReply, objectReply } from '../render/index.ts'
import { watchReply } from '../watch/index.ts'
import {
  createObject,
  deleteObject,
  deletedStatus,
  patchObject,
  patchType,
  returnsObject,
  updateObject,
  type Outcome,
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
import { deleteCollection } from './delete-collection.ts'

/** Answers a verb of the resource itself; 405 for those it does not have. */
export async function mainResource(call: Call, collection: Collection): Promise<Reply> {
  const { exchange, info, definition, namespace, writer, codec } = call
  const { verbs, namespaced } = definition.facts
  const { verb, name } = info
  if (!verbs.includes(verb)) throw methodNotAllowed()
  // Across namespaces one can only look; what a definition has brought has no other paths.
  if (namespaced && namespace === '' && verb !== 'list' && verb !== 'watch')
    throw definition.isCustom === true ? new PageNotFound() : methodNotAllowed()
  switch (verb) {
    case 'get': {
      const entry = await getEntry(
        reading(call, collection),
        namespace,
        name,
        exchange.query.get('resourceVersion') ?? '',
      )
      return entryReply(rendering(call), 200, await readyEntry(definition, entry))
    }
    case 'list': {
      const page = await listEntries(
        reading(call, collection),
        namespace,
        parseListOptions(exchange.query, false),
      )
      call.metrics.listed(definition.facts, page.entries.length)
      return listReply(rendering(call), page)
    }
    case 'watch':
      return watchReply(
        { ...call, collection },
        namespace,
        // A selector's name is the selector's business.
        exchange.query.has('fieldSelector') ? '' : name,
      )
    case 'create': {
      if (name !== '') throw methodNotAllowed()
      const options = parseWriteOptions(exchange.query, 'CreateOptions')
      const { object, template } = await readNewObject(
        codec,
        exchange,
        kindOf(definition),
        options.fieldValidation,
      )
      const target = writing(call, collection)
      const outcome = await createObject(writer, target, object, options, { template })
      return outcomeReply(call, outcome)
    }
    case 'update': {
      if (name === '') throw methodNotAllowed()
      return outcomeReply(call, await putObject(call, collection))
    }
    case 'patch': {
      if (name === '') throw methodNotAllowed()
      const options = patchOptions(call)
      const target = writing(call, collection)
      return outcomeReply(call, await patchObject(writer, target, name, options))
    }
    case 'delete': {
      const options = parseDeleteOptions(await readDeleteOptions(codec, exchange), exchange.query)
      const deleted = await deleteObject(writer, writing(call, collection), name, options)
      return deleteReply(call, deleted, options)
    }
    case 'deletecollection':
      return deleteCollection(call, collection)
    default:
      throw methodNotAllowed()
  }
}

/** A patch's options: only an apply may be forced. */
export const patchOptions = ({ exchange, definition }: Call): WriteOptions =>
  parseWriteOptions(exchange.query, 'PatchOptions', patchType(exchange, definition) === 'apply')

/** An object in the body takes the place of the one that is there. */
export async function putObject(call: Call, collection: Collection): Promise<Outcome> {
  const { exchange, definition, info, writer, codec } = call
  const options = parseWriteOptions(exchange.query, 'UpdateOptions')
  const expected = kindOf(definition)
  const read = (validation = options.fieldValidation) =>
    readObject(codec, exchange, expected, validation)
  const first = await read()
  const creates = definition.createOnUpdate && info.subresource === ''
  return updateObject(
    writer,
    writing(call, collection),
    info.name,
    {
      // An attempt that lost its race has worked on its object: the next one needs it fresh.
      next: (_old, attempt) => (attempt === 1 ? first : read('Ignore')),
      ...(creates ? { absent: () => first } : {}),
      isPut: true,
    },
    options,
  )
}

function deleteReply(
  call: Call,
  deleted: Awaited<ReturnType<typeof deleteObject>>,
  { asObject }: Pick<DeleteOptions, 'asObject'>,
): Reply {
  if (!deleted.gone) {
    const reply = outcomeReply(call, deleted.outcome)
    // Only who asks in the old way for the dependents to go learns that the object has to wait.
    return asObject['orphanDependents'] === false ? { ...reply, status: 202 } : reply
  }
  if (returnsObject(call.definition)) return objectReply(rendering(call), 200, deleted.object)
  return plainReply(call, 200, deletedStatus(call.definition, deleted.object))
}
