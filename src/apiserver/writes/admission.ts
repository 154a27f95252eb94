/** Admission as a write asks for it: the request that plugins see, and what they may change. */
import type { JsonObject, KubeObject } from '#machinery'
import { admit, mutate } from './admission-run.ts'
import type { AdmissionRequest } from '../admission.ts'
import type { Exchange } from '../exchange.ts'
import { checkKind, kindOf } from '../expected-kind.ts'
import { requireUser } from '../filters/index.ts'
import { isObject } from '../json.ts'
import type { WriteTarget, Writer } from './target.ts'

interface AdmissionOptions {
  readonly dryRun: boolean
  /** Who only connects has none. */
  readonly asObject: JsonObject | undefined
}

/** What admission needs to know of where a request goes. */
export type AdmissionTarget = Omit<WriteTarget, 'collection'>

/** The options of what is done, whatever was asked: a patch updates, and an apply or a PUT may create. */
function optionsFor(operation: AdmissionRequest['operation'], options: JsonObject): JsonObject {
  if (operation === 'DELETE') return options
  const { force: _, ...rest } = options
  return { ...rest, kind: operation === 'CREATE' ? 'CreateOptions' : 'UpdateOptions' }
}

/** The request that all plugins see; they read and change `objects.object` itself. */
export const admissionRequest = (
  target: AdmissionTarget,
  operation: AdmissionRequest['operation'],
  name: string,
  options: AdmissionOptions,
  objects: AdmissionObjects,
  replace: AdmissionRequest['replace'],
): Asked => new Asked(target, operation, name, options, objects, replace)

interface AdmissionObjects {
  readonly object?: JsonObject
  readonly old?: KubeObject
}

/** What few plugins look at is found out for them alone. */
class Asked implements AdmissionRequest {
  readonly operation: AdmissionRequest['operation']
  readonly definition: AdmissionRequest['definition']
  readonly subresource: string
  readonly namespace: string
  readonly user: AdmissionRequest['user']
  readonly dryRun: boolean
  readonly old: AdmissionRequest['old']
  readonly replace: AdmissionRequest['replace']
  readonly rounds = { isSecond: false, again: false }
  readonly trace: AdmissionRequest['trace']
  name: string
  object: AdmissionRequest['object']
  readonly #exchange: Exchange
  readonly #options: JsonObject | undefined

  constructor(
    { exchange, definition, namespace, subresource }: AdmissionTarget,
    operation: AdmissionRequest['operation'],
    name: string,
    { dryRun, asObject }: AdmissionOptions,
    { object, old }: AdmissionObjects,
    replace: AdmissionRequest['replace'],
  ) {
    this.operation = operation
    this.definition = definition
    this.subresource = subresource
    this.namespace = namespace
    this.name = name
    this.user = requireUser(exchange)
    this.dryRun = dryRun
    this.object = object
    this.old = old
    this.replace = replace
    this.trace = exchange.trace
    this.#exchange = exchange
    this.#options = asObject
  }

  get options(): JsonObject | undefined {
    return this.#options && optionsFor(this.operation, this.#options)
  }
  get signal(): AbortSignal {
    return this.#exchange.signal
  }
  get deadline(): number | undefined {
    return this.#exchange.deadline
  }
  get warn(): AdmissionRequest['warn'] {
    return (text) => void this.#exchange.warnings.push(text)
  }
  get annotate(): AdmissionRequest['annotate'] {
    return (key, value) => void ((this.#exchange.auditAnnotations ??= {})[key] = value)
  }

  /** The same request by the name that was found for it, about the object as it will be stored. */
  becomes(name: string, object: JsonObject): AdmissionRequest {
    this.name = name
    this.object = object
    return this
  }
}

/** Gives an object another's fields; it and its metadata stay the same JavaScript objects, which others hold. */
function become(object: JsonObject, next: JsonObject): void {
  const { metadata } = object
  for (const key in object) if (key !== 'metadata') delete object[key]
  if (!isObject(metadata) || !isObject(next['metadata'])) {
    Object.assign(object, next)
    return
  }
  for (const key in metadata) delete metadata[key]
  Object.assign(metadata, next['metadata'])
  Object.assign(object, next, { metadata })
}

/** What an admission plugin puts in place of an object of the resource's own kind takes the type's form and defaults. */
export const replaceTyped =
  (
    { codec }: Writer,
    { definition }: WriteTarget,
    object: JsonObject,
  ): AdmissionRequest['replace'] =>
  (next) => {
    const expected = kindOf(definition)
    const { object: shaped } = codec.types.shape(next, expected, false)
    checkKind(shaped, expected)
    definition.defaults(shaped)
    become(object, shaped)
  }

/** Admission of what has no object of its own to change: deletes, connects, small subresources. */
export async function admitOnly(
  writer: Writer,
  target: AdmissionTarget,
  operation: AdmissionRequest['operation'],
  name: string,
  options: AdmissionOptions,
  objects: { readonly object?: JsonObject; readonly old?: KubeObject },
): Promise<void> {
  const { object } = objects
  const request = admissionRequest(target, operation, name, options, objects, (next) => {
    if (object !== undefined) become(object, next)
  })
  await mutate(writer, request)
  await admit(writer, request)
}
