/** Lists in JSON without line ends: what is stored is copied, so that nothing is made into text twice. */
import type { Turn } from '#base'
import { toWireForm } from '#api'
import { goJson, type JsonObject, type KubeObject, type ResourceDefinition } from '#machinery'
import { shownAs, type StoredEntry } from '../collection.ts'
import {
  ChunkWriter,
  endOfMetadata,
  hasHead,
  splice,
  spliceBound,
  spliceMetadata,
  storedFormOf,
} from '../json-bytes.ts'
import { utf8 } from '../replies.ts'
import { isBuiltIn, partial, withoutKind, type IncludeObject } from './render.ts'

type WriteItem = (writer: ChunkWriter, entry: StoredEntry) => void

/** The head's text around the items. */
export async function* jsonList(
  entries: readonly StoredEntry[],
  head: JsonObject,
  field: 'items' | 'rows',
  write: WriteItem,
  turn: Turn,
): AsyncGenerator<Uint8Array> {
  const writer = new ChunkWriter()
  writer.text(`${goJson(JSON.stringify(head)).slice(0, -1)},"${field}":[`)
  for (const [i, entry] of entries.entries()) {
    if (i > 0) writer.text(',')
    write(writer, entry)
    if (turn.isOver()) await turn.next()
    const full = writer.take()
    if (full.length > 0) {
      yield* full
      // Copying is fast and the other side may be too: others get their turn in between.
      await turn.next()
    }
  }
  writer.text(']}\n')
  yield* writer.finish()
}

/** Whole objects. */
export function itemWriter(
  definition: ResourceDefinition,
  withKind = !isBuiltIn(definition),
): WriteItem {
  const form = storedFormOf(definition.facts)
  return (writer, entry) => {
    if (definition.convert === undefined) {
      const { bytes } = entry
      if (hasHead(bytes, form)) {
        const target = writer.reserve(spliceBound(bytes))
        writer.advance(splice(target, writer.position, bytes, entry.modified, form, { withKind }))
        return
      }
    }
    const object = toWireForm(shownAs(definition, entry.object))
    const text = JSON.stringify(withKind ? object : withoutKind(definition, object))
    writer.bytes(utf8(goJson(text)))
  }
}

/** What objects say of themselves (meta.k8s.io PartialObjectMetadata): their objects need not be there. */
export function metadataWriter(
  definition: ResourceDefinition,
  version: 'v1' | 'v1beta1',
): WriteItem {
  const form = storedFormOf(definition.facts)
  const head = utf8(
    `{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/${version}","metadata":{`,
  )
  return (writer, entry) => {
    if (definition.convert === undefined) {
      const { bytes, modified } = entry
      if (hasHead(bytes, form)) {
        const metadata = bytes.subarray(form.head.length, endOfMetadata(bytes, form))
        const target = writer.reserve(head.length + spliceBound(metadata) + 1)
        writer.advance(spliceMetadata(target, writer.position, head, metadata, modified))
        return
      }
    }
    const object = partial(shownAs(definition, entry.object), version)
    writer.bytes(utf8(goJson(JSON.stringify(object))))
  }
}

interface RowOptions {
  readonly includeObject: IncludeObject
  readonly version: 'v1' | 'v1beta1'
}

/** Rows of a table: cells for people, and as much of the object as was asked for. */
export function rowWriter(
  definition: ResourceDefinition,
  cellsOf: (object: KubeObject) => unknown,
  { includeObject, version }: RowOptions,
): WriteItem {
  const writeObject: WriteItem =
    includeObject === 'None'
      ? (writer) => writer.text('null')
      : includeObject === 'Object'
        ? itemWriter(definition, true)
        : metadataWriter(definition, version)
  return (writer, entry) => {
    const cells = goJson(JSON.stringify(cellsOf(shownAs(definition, entry.object))))
    writer.text(`{"cells":${cells},"object":`)
    writeObject(writer, entry)
    writer.text('}')
  }
}
