/** Admission as a write asks for it: the request that plugins see, and what they may change. */
import type { JsonObject, KubeObject } from '#machinery'
import { admit, mutate } from './admission-run.ts'
import type { AdmissionRequest } from '../admission.ts'
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
export function admissionRequest(
  { exchange, definition, namespace, subresource }: AdmissionTarget,
  operation: AdmissionRequest['operation'],
  name: string,
  options: AdmissionOptions,
  objects: { readonly object?: JsonObject; readonly old?: KubeObject },
  replace: AdmissionRequest['replace'],
): AdmissionRequest {
  return {
    operation,
    definition,
    subresource,
    namespace,
    name,
    user: requireUser(exchange),
    dryRun: options.dryRun,
    ...objects,
    ...(options.asObject === undefined ? {} : { options: optionsFor(operation, options.asObject) }),
    warn: (text) => void exchange.warnings.push(text),
    annotate: (key, value) => void ((exchange.auditAnnotations ??= {})[key] = value),
    signal: exchange.signal,
    deadline: exchange.deadline,
    trace: exchange.trace,
    replace,
    rounds: { isSecond: false, again: false },
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
