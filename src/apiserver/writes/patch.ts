/** PATCH in its four forms. */
import { toWireForm } from '#api'
import {
  StatusError,
  apiVersionOf,
  applyJsonPatch,
  applyMergePatch,
  badRequest,
  decodeJson,
  decodeYaml,
  goText,
  type JsonObject,
  type KubeObject,
  type ResourceDefinition,
} from '#machinery'
import { checkKind, kindOf, type ExpectedKind } from '../expected-kind.ts'
import { fieldProblems, type Codec } from '../codec/index.ts'
import type { Exchange } from '../exchange.ts'
import { copyJson, isObject, textOf } from '../json.ts'
import { mediaTypeOf, unsupportedMediaType } from '../negotiate.ts'
import type { WriteOptions } from '../options.ts'
import { jsonPatchRefused, patchRefused, unknownInJsonPatch } from './patch-errors.ts'
import { expectation, typedPath, untypable, valueAtPath } from './typed-errors.ts'
import { isBuiltIn } from '../render/index.ts'
import { SCALE, appliedToScaled } from '../scale.ts'
import { managerOf, type Outcome, type WriteTarget, type Writer } from './target.ts'
import { updateObject } from './update.ts'

type PatchType = 'json' | 'merge' | 'strategic' | 'apply'

const TYPES: Readonly<Record<string, PatchType>> = {
  'application/json-patch+json': 'json',
  'application/merge-patch+json': 'merge',
  'application/strategic-merge-patch+json': 'strategic',
  'application/apply-patch+yaml': 'apply',
}

/** What the patch is, by its content type. Throws 415 for others, naming what would be right. */
export function patchType(exchange: Exchange, definition: ResourceDefinition): PatchType {
  const type = TYPES[mediaTypeOf(exchange.headers['content-type'])]
  // Only built-in types say which lists are maps by a key.
  if (type === undefined || (type === 'strategic' && !isBuiltIn(definition)))
    throw unsupportedMediaType(
      Object.keys(TYPES).filter((each) => isBuiltIn(definition) || TYPES[each] !== 'strategic'),
    )
  return type
}

/** The patch as a value, and the fields that are in it twice. */
export async function readPatch(
  exchange: Exchange,
  type: PatchType,
): Promise<{
  readonly value: unknown
  readonly duplicates: readonly string[]
  /** In the words of a reader of YAML. */
  readonly duplicateKeys?: string | undefined
}> {
  if (exchange.value !== undefined) return { value: exchange.value, duplicates: [] }
  const bytes = await exchange.body()
  const { value, duplicateFields, duplicateKeys } =
    type === 'apply' ? decodeYaml(bytes) : decodeJson(bytes, { duplicates: type !== 'json' })
  return { value, duplicates: duplicateFields, duplicateKeys }
}

/** The patched object, before it takes the type's form; the result may share with `old`. */
export function patched(
  codec: Codec,
  definition: ResourceDefinition,
  type: PatchType,
  old: KubeObject,
  patch: unknown,
): unknown {
  switch (type) {
    case 'json':
      try {
        // Its paths are those of what clients see.
        return applyJsonPatch(toWireForm(old), patch)
      } catch (error) {
        throw jsonPatchRefused(error)
      }
    case 'merge':
    case 'apply':
      if (!isObject(patch)) throw badRequest('Invalid JSON Patch')
      return applyMergePatch(old, patch)
    case 'strategic':
      return codec.types.strategicPatch(definition, old, patch)
  }
}

export async function patchObject(
  writer: Writer,
  target: WriteTarget,
  name: string,
  options: WriteOptions,
): Promise<Outcome> {
  const { exchange, definition } = target
  const type = patchType(exchange, definition)
  const { value, duplicates, duplicateKeys } = await readPatch(exchange, type)
  const expected = kindOf(definition)
  if (type === 'apply') {
    const doubles = doublesIn(duplicates, duplicateKeys)
    return applyObject(writer, target, name, value, doubles, options)
  }
  return updateObject(
    writer,
    target,
    name,
    {
      next(old, attempt) {
        const result = patched(writer.codec, definition, type, old, value)
        const first = attempt === 1
        return formed(writer.codec, exchange, expected, {
          result,
          // What the patch has too much comes before what the object has.
          problems: first
            ? type === 'json'
              ? unknownInJsonPatch(value)
              : duplicates.map((path) => `duplicate field ${JSON.stringify(path)}`)
            : [],
          validation: first ? options.fieldValidation : 'Ignore',
          strategicPatch: type === 'strategic' ? value : undefined,
        })
      },
    },
    options,
  )
}

/** A patch's result as an object of its type, with what it had too much told of. */
export function formed(
  codec: Codec,
  exchange: Exchange,
  expected: ExpectedKind,
  patch: {
    readonly result: unknown
    readonly problems: readonly string[]
    readonly validation: WriteOptions['fieldValidation']
    /** Errors quote it, and not the result. */
    readonly strategicPatch: unknown
  },
): JsonObject {
  const { result, problems, validation, strategicPatch } = patch
  if (!isObject(result)) throw badRequest('the patched document is not an object')
  const refuse = (why: string): StatusError =>
    patchRefused(
      strategicPatch === undefined ? JSON.stringify(result) : goText(strategicPatch),
      why,
    )
  const { object, unknown } = codec.types.shape(
    result,
    expected,
    validation !== 'Ignore',
    (error) => refuse(strategicPatch === undefined ? error.message : error.conversion),
  )
  const found = [...problems, ...fieldProblems(expected, unknown, [])]
  if (validation === 'Warn') exchange.warnings.push(...found)
  if (validation === 'Strict' && found.length > 0)
    throw refuse(`strict decoding error: ${found.join(', ')}`)
  // A strategic patch goes into an object that is typed already: what it says of the type changes nothing.
  if (strategicPatch !== undefined)
    Object.assign(object, { apiVersion: apiVersionOf(expected), kind: expected.kind })
  return checkKind(object, expected)
}

/** Applies a scale: the number is owned in the object that is scaled. */
export async function applyScale(
  writer: Writer,
  target: WriteTarget,
  name: string,
  options: WriteOptions,
): Promise<Outcome> {
  const { value, duplicates, duplicateKeys } = await readPatch(target.exchange, 'apply')
  const doubles = doublesIn(duplicates, duplicateKeys)
  return applyObject(writer, target, name, value, doubles, options, {
    expected: SCALE,
    toOwn: (scale) => appliedToScaled(target.definition, name, target.namespace, scale),
  })
}

const doublesIn = (duplicates: readonly string[], duplicateKeys: string | undefined): string =>
  duplicateKeys ?? duplicates.map((path) => `duplicate field ${JSON.stringify(path)}`).join(', ')

/** Server-side apply: says what the manager wants to own, and makes the object when there is none. */
async function applyObject(
  writer: Writer,
  target: WriteTarget,
  name: string,
  value: unknown,
  /** What is in the configuration twice, in words. */
  doubles: string,
  options: WriteOptions,
  /** For configurations of another kind than the object's. */
  kinds?: {
    readonly expected: ExpectedKind
    readonly toOwn: (configuration: JsonObject) => JsonObject
  },
): Promise<Outcome> {
  const { exchange, definition, subresource } = target
  const { codec, env } = writer
  if (!isObject(value)) throw badRequest('an apply patch must be an object')
  const expected = kinds?.expected ?? kindOf(definition)
  // An apply says what it is: absent kinds would be guesses.
  if (typeof value['kind'] !== 'string' || typeof value['apiVersion'] !== 'string')
    throw badRequest('invalid object type: an apply patch must have kind and apiVersion')
  const patch = checkKind(copyJson(value), expected)
  const metadata = patch['metadata'] as JsonObject
  if (Array.isArray(metadata['managedFields']) && metadata['managedFields'].length > 0)
    throw badRequest('metadata.managedFields must be nil')
  const given = metadata['name']
  if (given !== undefined && given !== '' && given !== name)
    throw badRequest(
      `the name of the object (${textOf(given)}) does not match the name on the URL (${name})`,
    )
  metadata['name'] = name
  if (definition.facts.namespaced) metadata['namespace'] ??= target.namespace
  const fieldAt = (path: string): string => typedPath(codec.types.shapeFor(expected), patch, path)
  const { unknown } = codec.types.shape(patch, expected, true, (error) =>
    untypable(expected, patch, [
      `${fieldAt(error.path)}: ${expectation(error, valueAtPath(patch, error.path))}`,
    ]),
  )
  // What no schema knows cannot be owned: it is refused however lenient the client is.
  const untyped = [
    ...(
      (kinds === undefined ? codec.types.own(definition)?.mismatches?.(patch) : undefined) ?? []
    ).map(
      ({ path, expected: type, found }) =>
        `${fieldAt(path)}: ${expectation({ expected: type, message: '' }, found)}`,
    ),
    ...unknown.map((path) => `${fieldAt(path)}: field not declared in schema`),
  ]
  if (untyped.length > 0) throw untypable(expected, patch, untyped)
  if (doubles !== '') {
    const why = `error converting YAML to JSON: ${doubles}`
    if (options.fieldValidation === 'Strict') throw badRequest(`error strict decoding YAML: ${why}`)
    if (options.fieldValidation === 'Warn') exchange.warnings.push(why.replaceAll(/\n\s*/g, ' '))
  }
  const configuration = kinds?.toOwn(patch) ?? patch
  const apply = (old: KubeObject | undefined): JsonObject =>
    codec.owners.apply(definition, old, configuration, {
      manager: managerOf(exchange, options.fieldManager),
      force: options.force === true,
      now: env.clock.now(),
      subresource,
    })
  const uid = metadata['uid']
  return updateObject(
    writer,
    target,
    name,
    {
      next: (old) => codec.types.shapeApplied(apply(old), definition),
      ...(subresource === ''
        ? {
            absent() {
              if (typeof uid === 'string' && uid !== '')
                throw new StatusError(
                  'Conflict',
                  `uid mismatch: the provided object specified uid ${uid}, and no existing object was found`,
                )
              return codec.types.shapeApplied(apply(undefined), definition)
            },
          }
        : {}),
      tracked: true,
    },
    options,
  )
}
