/** Deletes all that a list would show. */
import { StatusError, apiVersionOf } from '#machinery'
import { readDeleteOptions } from '../body.ts'
import { readyEntries, shownAs, type Collection } from '../collection.ts'
import type { Reply } from '../exchange.ts'
import { parseDeleteOptions, parseListOptions } from '../options.ts'
import { listEntries } from '../reads/index.ts'
import { listKindOf, listReply } from '../render/index.ts'
import { isInProcess } from '../replies.ts'
import { deleteObject } from '../writes/index.ts'
import { reading, rendering, writing, type Call } from './call.ts'

/** Deletes of one collection that are under way at once. */
const DELETE_WORKERS = 16

/** Answers with the list of what it has deleted. */
export async function deleteCollection(call: Call, collection: Collection): Promise<Reply> {
  const { exchange, namespace, writer, codec, definition } = call
  const options = parseDeleteOptions(await readDeleteOptions(codec, exchange), exchange.query)
  const page = await listEntries(
    reading(call, collection),
    namespace,
    parseListOptions(exchange.query, false),
  )
  const target = writing(call, collection)
  const waiting = page.entries[Symbol.iterator]()
  const worker = async (): Promise<void> => {
    for (const entry of waiting) {
      const { metadata } = entry.object
      const each = { ...target, namespace: metadata.namespace ?? '' }
      try {
        await deleteObject(writer, each, metadata.name, options, '')
      } catch (error) {
        // Somebody else was faster: it is gone as asked.
        if (!(error instanceof StatusError) || error.reason !== 'NotFound') throw error
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(DELETE_WORKERS, page.entries.length) }, worker))
  const ready = await readyEntries(definition, page.entries)
  const items = ready.map((entry) => shownAs(definition, entry.object))
  const list = {
    kind: listKindOf(definition),
    apiVersion: apiVersionOf(definition.facts),
    metadata: { resourceVersion: String(page.revision) },
    items,
  }
  if (isInProcess(exchange)) return { status: 200, headers: {}, value: list }
  return listReply(rendering(call), {
    ...page,
    entries: ready,
    continue: undefined,
    remaining: undefined,
  })
}
