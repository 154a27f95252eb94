/** Which encoding and which shape of an answer the client wants, and what the body it sent is. */
import { StatusError } from '#machinery'

export type Encoding = 'json' | 'yaml' | 'protobuf'

export const MEDIA_TYPES: Readonly<Record<Encoding, string>> = {
  json: 'application/json',
  yaml: 'application/yaml',
  protobuf: 'application/vnd.kubernetes.protobuf',
}
const ENCODINGS: Readonly<Record<string, Encoding>> = {
  'application/json': 'json',
  'application/yaml': 'yaml',
  'application/vnd.kubernetes.protobuf': 'protobuf',
}

/** The object itself, or the same as rows of a table, or only its metadata. */
type Shape = 'object' | 'table' | 'metadata'

export interface Accepted {
  readonly encoding: Encoding
  readonly shape: Shape
  /** Of the group meta.k8s.io, for tables and metadata. */
  readonly version: 'v1' | 'v1beta1'
}

interface Clause {
  readonly type: string
  readonly quality: number
  readonly parameters: Readonly<Record<string, string>>
}

/** A header's clauses: highest quality first, otherwise as written. */
export function parseAccept(header: string): readonly Clause[] {
  const clauses: Clause[] = []
  for (const part of header.split(',')) {
    const [type = '', ...rest] = part.split(';')
    const name = type.trim().toLowerCase()
    if (name === '') continue
    const parameters: Record<string, string> = {}
    let quality = 1
    for (const parameter of rest) {
      const equals = parameter.indexOf('=')
      if (equals < 0) continue
      const key = parameter.slice(0, equals).trim().toLowerCase()
      const value = parameter
        .slice(equals + 1)
        .trim()
        .replace(/^"(.*)"$/, '$1')
      if (key === 'q') quality = Number.isFinite(Number(value)) ? Number(value) : 0
      else parameters[key] = value
    }
    clauses.push({ type: name, quality, parameters })
  }
  return clauses.some(({ quality }) => quality !== 1)
    ? clauses.toSorted((a, b) => b.quality - a.quality)
    : clauses
}

const DEFAULT: Accepted = { encoding: 'json', shape: 'object', version: 'v1' }
const encodingOf = (type: string): Encoding | undefined =>
  type === '*/*' || type === 'application/*' ? 'json' : ENCODINGS[type]

/** Shapes that an answer can take: lists and objects differ in the name of the metadata-only form. */
export type ShapeNames = Readonly<Record<string, Shape>>
export const OBJECT_SHAPES: ShapeNames = { Table: 'table', PartialObjectMetadata: 'metadata' }
export const LIST_SHAPES: ShapeNames = { Table: 'table', PartialObjectMetadataList: 'metadata' }
/** For answers that have no other form. */
export const NO_SHAPES: ShapeNames = {}

/** Few different headers arrive again and again; what they mean depends on what there is to give. */
const knownByShapes = new WeakMap<ShapeNames, Map<string, readonly Accepted[]>>()
const KNOWN_LIMIT = 256

function candidates(header: string, shapes: ShapeNames): readonly Accepted[] {
  const known = knownByShapes.get(shapes) ?? new Map<string, readonly Accepted[]>()
  knownByShapes.set(shapes, known)
  const before = known.get(header)
  if (before !== undefined) return before
  const found: Accepted[] = []
  for (const { type, quality, parameters } of parseAccept(header)) {
    const encoding = encodingOf(type)
    if (encoding === undefined || quality <= 0) continue
    const { as, g, v } = parameters
    if (as === undefined && g === undefined && v === undefined) {
      found.push({ encoding, shape: 'object', version: 'v1' })
      continue
    }
    // Another form is named in full, or nobody knows which is meant.
    const shape = shapes[as ?? '']
    const version = v === 'v1' || v === 'v1beta1' ? v : undefined
    if (shape === undefined || g !== 'meta.k8s.io' || version === undefined) continue
    // Tables have no protobuf form.
    if (shape === 'table' && encoding === 'protobuf') continue
    found.push({ encoding, shape, version })
  }
  if (known.size >= KNOWN_LIMIT) known.clear()
  known.set(header, found)
  return found
}

/** What to answer with. Throws 406 when nothing that we have is accepted. */
export function negotiate(
  accept: string | undefined,
  shapes: ShapeNames,
  /** Objects without a protobuf form have metadata that has one. */
  { isCustom = false }: { readonly isCustom?: boolean } = {},
): Accepted {
  if (accept === undefined || accept === '' || accept === '*/*') return DEFAULT
  const all = candidates(accept, shapes)
  const best = isCustom
    ? all.find(({ encoding, shape }) => encoding !== 'protobuf' || shape === 'metadata')
    : all[0]
  if (best === undefined)
    throw notAcceptable(isCustom ? [MEDIA_TYPES.json, MEDIA_TYPES.yaml] : undefined)
  return best
}

/** For errors, which are always answered: JSON when nothing better is accepted. */
export function negotiateError(accept: string | undefined): Encoding {
  if (accept === undefined || accept === '') return 'json'
  for (const { type, quality, parameters } of parseAccept(accept)) {
    const encoding = encodingOf(type)
    // An error has no other form: who asks for one only gets JSON.
    const isPlain = !['as', 'g', 'v'].some((name) => name in parameters)
    if (encoding !== undefined && quality > 0 && isPlain) return encoding
  }
  return 'json'
}

export const notAcceptable = (
  accepted: readonly string[] = Object.values(MEDIA_TYPES),
): StatusError =>
  new StatusError(
    'NotAcceptable',
    `only the following media types are accepted: ${accepted.join(', ')}`,
  )

export const unsupportedMediaType = (
  accepted: readonly string[] = Object.values(MEDIA_TYPES),
): StatusError =>
  new StatusError(
    'UnsupportedMediaType',
    `the body of the request was in an unknown format - accepted media types include: ${accepted.join(', ')}`,
  )

/** The media type of a body, without parameters. */
export const mediaTypeOf = (contentType: string | undefined): string =>
  (contentType ?? '').split(';', 1)[0]!.trim().toLowerCase()

/** Throws 415 for a body that we cannot read. Absent means JSON. */
export function bodyEncoding(contentType: string | undefined): Encoding {
  const type = mediaTypeOf(contentType)
  if (type === '' || type === '*/*') return 'json'
  const encoding = ENCODINGS[type]
  if (encoding === undefined) throw unsupportedMediaType()
  return encoding
}

export const acceptsGzip = (acceptEncoding: string | undefined): boolean =>
  acceptEncoding !== undefined &&
  acceptEncoding.split(',').some((part) => {
    const [name = '', quality] = part.split(';')
    return name.trim().toLowerCase() === 'gzip' && quality?.replaceAll(' ', '') !== 'q=0'
  })
