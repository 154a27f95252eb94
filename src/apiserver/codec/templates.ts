/**
 * New objects are mostly made from few templates: but for their metadata they come as the same text, the same
 * message, or, from this process, the same value. So the rest is read and given its defaults once, and what admission has made of it is kept too, frozen: objects
 * of one template share it in memory, and what is found out of it (that it is valid, its warnings, its JSON)
 * is found out once.
 */
import {
  decodeJson,
  deepFreeze,
  type JsonObject,
  type KubeObject,
  type ResourceDefinition,
} from '#machinery'
import { copyJson, isObject, sameFields } from '../json.ts'

/** Longer texts are of objects that are like no other. */
const LONGEST = 64 * 1024
const MOST_TEMPLATES = 8
/** Forms that one template's objects take: by their namespace, its service account and its limits. */
const MOST_FORMS = 4
/** Once there are so many, only one in so many others is kept: it may be that no two are the same. */
const KEEP_ONE_IN = 16
/** By their ends it is known whether a text or a message may come again. */
const END_CHARACTERS = 256
const MOST_MARKS = 256
/** How many templates may be learned for nothing before most are left alone. */
const CREDIT = 32
const LEARN_ONE_IN = 64

const METADATA: ReadonlySet<string> = new Set(['metadata'])

/** What admission made of the rest of an object. */
interface Form {
  /** Frozen, with nothing where the metadata belongs. */
  readonly rest: JsonObject
  /** What the changes came from the last time; undefined when that could not be said. */
  sources: readonly unknown[] | undefined
}

const isSameList = (a: readonly unknown[], b: readonly unknown[]): boolean =>
  a.length === b.length && a.every((each, i) => each === b[i])

/** What objects have in common that came with the same rest. */
export class Template {
  /** With defaults, and nothing where the metadata belongs. */
  readonly #rest: JsonObject
  readonly #forms: Form[] = []
  #others = 0

  /** @param object whose metadata does not count */
  constructor(object: JsonObject) {
    this.#rest = withoutMetadata(object)
  }

  /** An object with a rest of its own. */
  objectWith(metadata: JsonObject): JsonObject {
    const object: JsonObject = {}
    for (const name in this.#rest)
      object[name] = name === 'metadata' ? metadata : copyJson(this.#rest[name])
    return object
  }

  /** The same with the template's rest, which is frozen. */
  viewWith(metadata: JsonObject): JsonObject {
    return { ...this.#rest, metadata }
  }

  /** What became of an earlier object whose changes came from the same, with this metadata; undefined when there was none. */
  admitted(metadata: JsonObject, sources: readonly unknown[]): JsonObject | undefined {
    for (const { rest, sources: others } of this.#forms)
      if (others !== undefined && isSameList(others, sources)) return { ...rest, metadata }
    return undefined
  }

  /** The object with the frozen parts of an earlier one that had the same; undefined when none had. */
  shared(object: JsonObject, sources: readonly unknown[] | undefined): JsonObject | undefined {
    for (const form of this.#forms)
      if (sameFields(object, form.rest, METADATA)) {
        form.sources = sources ?? form.sources
        return { ...form.rest, metadata: object['metadata'] }
      }
    return undefined
  }

  /** An object that was accepted, and that nobody changes any more. */
  keep(object: JsonObject, sources: readonly unknown[] | undefined): void {
    if (this.#forms.length >= MOST_FORMS) {
      if (++this.#others % KEEP_ONE_IN !== 0) return
      this.#forms.pop()
    }
    this.#forms.unshift({ rest: withoutMetadata(object), sources })
  }
}

const withoutMetadata = (object: JsonObject): JsonObject => {
  const { metadata: _, ...rest } = object
  deepFreeze(rest)
  // Its place among the fields stays.
  return { ...object, metadata: undefined }
}

/** A rest as it comes, by which a template is known. */
interface Sample<T> {
  readonly rest: T
  readonly template: Template
}

/** All of the text before the metadata, and after it. */
type TextRest = readonly [before: string, after: string]

/** An enveloped message without its metadata. */
interface MessageRest {
  readonly kind: string
  readonly apiVersion: string
  readonly rest: Uint8Array
}

/** The templates of one resource. */
class Known {
  readonly texts: Sample<TextRest>[] = []
  readonly messages: Sample<MessageRest>[] = []
  readonly values: Sample<JsonObject>[] = []
  readonly marks = new Set<string>()
  credit = CREDIT
  misses = 0

  /** The first that fits becomes the first. */
  recall<T>(samples: Sample<T>[], fits: (rest: T) => boolean): Template | undefined {
    for (let at = 0; at < samples.length; at++) {
      const sample = samples[at]!
      if (!fits(sample.rest)) continue
      if (at > 0) samples.unshift(...samples.splice(at, 1))
      if (this.credit < CREDIT) this.credit++
      return sample.template
    }
    return undefined
  }

  learn<T>(
    samples: Sample<T>[],
    rest: T,
    definition: ResourceDefinition,
    object: JsonObject,
  ): void {
    const sample = copyJson({ ...object, metadata: {} })
    definition.defaults(sample)
    samples.unshift({ rest, template: new Template(sample) })
    if (samples.length > MOST_TEMPLATES) samples.pop()
  }

  /** Whether the mark of an object was seen before, and learning has been of use so far. */
  isWorthwhile(mark: string): boolean {
    if (!this.marks.has(mark)) {
      if (this.marks.size >= MOST_MARKS) this.marks.clear()
      this.marks.add(mark)
      return false
    }
    if (this.credit === 0) return ++this.misses % LEARN_ONE_IN === 0
    this.credit--
    return true
  }
}

export interface FromTemplate {
  readonly template: Template
  readonly metadata: JsonObject
}

export class Templates {
  readonly #known = new WeakMap<ResourceDefinition, Known>()

  /** The template of a JSON text, and what its metadata says; undefined when there is none, or its metadata is odd. */
  ofText(definition: ResourceDefinition, text: string): FromTemplate | undefined {
    const known = this.#known.get(definition)
    if (known === undefined) return undefined
    let metadata: JsonObject | undefined
    const template = known.recall(known.texts, (rest) => {
      const inner = metadataIn(text, rest)
      metadata = inner === undefined ? undefined : valueOf(inner)
      return metadata !== undefined
    })
    return template && metadata && { template, metadata }
  }

  /** Text in which nothing was odd, and its object. */
  learnText(definition: ResourceDefinition, text: string, object: JsonObject): void {
    const known = this.#of(definition)
    if (known === undefined || text.length > LONGEST) return
    if (!known.isWorthwhile(own(text.slice(-Math.min(END_CHARACTERS, text.length >> 1))))) return
    const place = placeOfMetadata(text)
    if (place === undefined) return
    const [from, to] = place
    // Texts of their own: a part would keep all of the body.
    const rest = [own(text.slice(0, from)), own(text.slice(to))] as const
    known.learn(known.texts, rest, definition, object)
  }

  ofMessage(definition: ResourceDefinition, message: MessageRest): Template | undefined {
    const known = this.#known.get(definition)
    const { kind, apiVersion, rest } = message
    return known?.recall(
      known.messages,
      (other) =>
        Buffer.compare(other.rest, rest) === 0 &&
        other.kind === kind &&
        other.apiVersion === apiVersion,
    )
  }

  /** What came as a message with this rest, and its object. */
  learnMessage(definition: ResourceDefinition, message: MessageRest, object: JsonObject): void {
    const known = this.#of(definition)
    const { rest } = message
    if (known === undefined || rest.length > LONGEST) return
    const end = rest.subarray(-Math.min(END_CHARACTERS, rest.length >> 1))
    if (!known.isWorthwhile(Buffer.from(end).toString('latin1'))) return
    known.learn(known.messages, { ...message, rest: rest.slice() }, definition, object)
  }

  /** The template of a value that somebody in this process has sent. */
  ofValue(definition: ResourceDefinition, value: JsonObject): Template | undefined {
    const known = this.#known.get(definition)
    return known?.recall(known.values, (rest) => sameFields(value, rest, METADATA))
  }

  /** Who makes the same again makes it for the same owner. `object` is its copy with its kind. */
  learnValue(definition: ResourceDefinition, value: JsonObject, object: JsonObject): void {
    const known = this.#of(definition)
    const { ownerReferences } = value['metadata'] as Partial<KubeObject['metadata']>
    const owner = ownerReferences?.[0]?.uid
    if (known === undefined || owner === undefined || !known.isWorthwhile(owner)) return
    const { metadata: _, ...rest } = value
    known.learn(known.values, copyJson(rest), definition, object)
  }

  #of(definition: ResourceDefinition): Known | undefined {
    if (definition.defaultsOfMetadata === undefined) return undefined
    let known = this.#known.get(definition)
    if (known === undefined) this.#known.set(definition, (known = new Known()))
    return known
  }
}

/** The text of the metadata, when the rest of the text is as it should be. */
function metadataIn(text: string, [before, after]: TextRest): string | undefined {
  const from = before.length
  const to = text.length - after.length
  if (to <= from) return undefined
  return text.slice(to) === after && text.slice(0, from) === before
    ? text.slice(from, to)
    : undefined
}

const own = (text: string): string => Buffer.from(text).toString()

/** An object without members that are written twice. */
function valueOf(text: string): JsonObject | undefined {
  try {
    const { value, duplicateFields } = decodeJson(text, { duplicates: true })
    return isObject(value) && duplicateFields.length === 0 ? value : undefined
  } catch {
    // All of the text will say what is wrong.
    return undefined
  }
}

const TOKENS = /"(?:[^"\\]|\\.)*"|[{}[\]]/g

/** Where the metadata begins and ends in the valid JSON of an object. */
function placeOfMetadata(text: string): readonly [from: number, to: number] | undefined {
  let depth = 0
  let from: number | undefined
  let key = ''
  for (const { 0: token, index } of text.matchAll(TOKENS)) {
    if (token === '{' || token === '[') {
      if (depth++ === 1 && key === '"metadata"') from = index
    } else if (token === '}' || token === ']') {
      if (--depth === 1 && from !== undefined) return [from, index + 1]
    } else if (depth === 1) key = token
  }
  return undefined
}
