/** The scale of an object: read, written and patched as a kind of its own. */
import { badRequest, type JsonObject, type KubeObject } from '#machinery'
import { readObject } from '../body.ts'
import { readyEntry, shownAs, type Collection } from '../collection.ts'
import type { Reply } from '../exchange.ts'
import { textOf } from '../json.ts'
import { parseWriteOptions } from '../options.ts'
import { getEntry } from '../reads/index.ts'
import { objectReply } from '../render/index.ts'
import { SCALE, SCALE_COLUMNS, scaleOf, scaled } from '../scale.ts'
import { applyScale, formed, patchType, patched, readPatch, updateObject } from '../writes/index.ts'
import { reading, rendering, writing, type Call } from './call.ts'
import { patchOptions } from './main-resource.ts'

/** Answers with the Scale, whatever kind it scales. */
export async function scale(call: Call, collection: Collection): Promise<Reply> {
  const { exchange, info, definition, namespace, writer, codec } = call
  // A scale is a type of the server whatever it scales: it has a form in protobuf, and columns of its own.
  const columns = { ...definition, isCustom: false, columns: SCALE_COLUMNS }
  const reply = (object: KubeObject): Reply =>
    objectReply({ ...rendering(call), definition: columns }, 200, scaleOf(definition, object))
  if (info.verb === 'get') {
    const entry = await getEntry(reading(call, collection), namespace, info.name)
    return reply(shownAs(definition, (await readyEntry(definition, entry)).object))
  }
  const target = writing(call, collection)
  if (info.verb === 'update') {
    const options = parseWriteOptions(exchange.query, 'UpdateOptions')
    const wanted = await readObject(codec, exchange, SCALE, options.fieldValidation)
    const given = (wanted['metadata'] as JsonObject)['name']
    if (given !== undefined && given !== '' && given !== info.name)
      throw badRequest(
        `the name of the object (${textOf(given)}) does not match the name on the URL (${info.name})`,
      )
    const outcome = await updateObject(
      writer,
      target,
      info.name,
      { next: (old) => scaled(definition, old, wanted) },
      options,
    )
    return reply(outcome.object())
  }
  const type = patchType(exchange, definition)
  const options = patchOptions(call)
  if (type === 'apply') {
    const outcome = await applyScale(writer, target, info.name, options)
    return reply(outcome.object())
  }
  const { value: patch } = await readPatch(exchange, type)
  const outcome = await updateObject(
    writer,
    target,
    info.name,
    {
      next(old) {
        const now = scaleOf(definition, old)
        // Scales have no lists: a strategic patch is a merge patch here.
        const result = patched(codec, definition, type === 'strategic' ? 'merge' : type, now, patch)
        const wanted = formed(codec, exchange, SCALE, {
          result,
          problems: [],
          validation: options.fieldValidation,
          strategicPatch: type === 'strategic' ? patch : undefined,
        })
        return scaled(definition, old, wanted)
      },
    },
    options,
  )
  return reply(outcome.object())
}
