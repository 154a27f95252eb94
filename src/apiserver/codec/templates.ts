/**
 * New objects are mostly made from few templates: but for their metadata they come as the same text. So the
 * rest is read and given its defaults once, and what admission has made of it is kept too, frozen: objects
 * of one template share it in memory, and what is found out of it (that it is valid, its warnings, its JSON)
 * is found out once.
 */
import { decodeJson, deepFreeze, type JsonObject, type ResourceDefinition } from '#machinery'
import { copyJson, isObject, sameFields } from '../json.ts'

/** Longer texts are of objects that are like no other. */
const LONGEST = 64 * 1024
const MOST_TEMPLATES = 8
/** Forms that one template's objects take: by their namespace, its service account and its limits. */
const MOST_FORMS = 4
/** Once there are so many, only one in so many others is kept: it may be that no two are the same. */
const KEEP_ONE_IN = 16
/** By their ends it is known whether a text may come again. */
const END_CHARACTERS = 256
const MOST_ENDS = 256
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

/** What objects of one text have in common. */
export class Template {
  readonly #before: string
  readonly #after: string
  /** With defaults, and nothing where the metadata belongs. */
  readonly #rest: JsonObject
  readonly #forms: Form[] = []
  #others = 0

  constructor(before: string, after: string, object: JsonObject) {
    this.#before = before
    this.#after = after
    this.#rest = withoutMetadata(object)
  }

  /** The text of the metadata, when the rest of the text is the template's. */
  metadataIn(text: string): string | undefined {
    const from = this.#before.length
    const to = text.length - this.#after.length
    if (to <= from) return undefined
    return text.slice(to) === this.#after && text.slice(0, from) === this.#before
      ? text.slice(from, to)
      : undefined
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

/** The templates of one resource. */
class Known {
  readonly templates: Template[] = []
  readonly ends = new Set<string>()
  credit = CREDIT
  misses = 0
}

export interface FromTemplate {
  readonly template: Template
  readonly metadata: JsonObject
}

export class Templates {
  readonly #known = new WeakMap<ResourceDefinition, Known>()

  /** The template of a JSON text, and what its metadata says; undefined when there is none, or its metadata is odd. */
  find(definition: ResourceDefinition, text: string): FromTemplate | undefined {
    const known = this.#known.get(definition)
    if (known === undefined) return undefined
    const { templates } = known
    for (const [at, template] of templates.entries()) {
      const inner = template.metadataIn(text)
      if (inner === undefined) continue
      const metadata = valueOf(inner)
      if (metadata === undefined) continue
      if (at > 0) templates.unshift(...templates.splice(at, 1))
      if (known.credit < CREDIT) known.credit++
      return { template, metadata }
    }
    return undefined
  }

  /** Text in which nothing was odd, and its object. */
  learn(definition: ResourceDefinition, text: string, object: JsonObject): void {
    if (definition.defaultsOfMetadata === undefined || text.length > LONGEST) return
    let known = this.#known.get(definition)
    if (known === undefined) this.#known.set(definition, (known = new Known()))
    if (!isWorthwhile(known, text)) return
    const place = placeOfMetadata(text)
    if (place === undefined) return
    const [from, to] = place
    const sample = copyJson({ ...object, metadata: {} })
    definition.defaults(sample)
    // Texts of their own: a part would keep all of the body.
    known.templates.unshift(new Template(own(text.slice(0, from)), own(text.slice(to)), sample))
    if (known.templates.length > MOST_TEMPLATES) known.templates.pop()
  }
}

const own = (text: string): string => Buffer.from(text).toString()

/** Whether the text's end was seen before, and learning has been of use so far. */
function isWorthwhile(known: Known, text: string): boolean {
  const end = own(text.slice(-Math.min(END_CHARACTERS, text.length >> 1)))
  if (!known.ends.has(end)) {
    if (known.ends.size >= MOST_ENDS) known.ends.clear()
    known.ends.add(end)
    return false
  }
  if (known.credit === 0) return ++known.misses % LEARN_ONE_IN === 0
  known.credit--
  return true
}

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
