/** How a webhook is asked for objects in another version (ConversionReview, apiextensions.k8s.io/v1). */
import type { Env } from '#base'
import type { CustomResourceDefinition } from '#api'
import {
  FieldPath,
  internalError,
  type FieldError,
  type JsonObject,
  type KubeObject,
} from '#machinery'
import { isObject, sameJson, textOf } from '../json.ts'
import { validateLabels } from '../metadata.ts'
import type { CallWebhook } from '../webhook-client/index.ts'
import type { Convert } from './convert.ts'

/** As long as webhooks of this kind have. */
const TIMEOUT_MS = 30_000
const KNOWN: readonly string[] = ['v1', 'v1beta1']

/** Conversion by the webhook that a definition names. Throws a 500 that says what went wrong. */
export const webhookConversion =
  (call: () => CallWebhook | undefined, { random }: Pick<Env, 'random'>): Convert =>
  async (crd, apiVersion, objects) => {
    const { webhook } = crd.spec.conversion ?? {}
    const { kind, listKind = `${kind}List` } = crd.spec.names
    const isList = objects.length > 1
    const subject = `conversion webhook for ${textOf(objects[0]?.apiVersion)}, Kind=${isList ? listKind : kind}`
    const failed = (why: string): Error => internalError(`${subject} failed: ${why}`)
    const returned = (what: string): Error => internalError(`${subject} returned ${what}`)
    const ask = call()
    if (webhook?.clientConfig === undefined || ask === undefined)
      throw failed('no webhook can be called')
    const version = webhook.conversionReviewVersions.find((each) => KNOWN.includes(each))
    if (version === undefined)
      throw failed('it takes no version of ConversionReview that is known here')
    const uid = random.uuid()
    let answer: JsonObject
    try {
      answer = await ask(
        webhook.clientConfig,
        {
          kind: 'ConversionReview',
          apiVersion: `apiextensions.k8s.io/${version}`,
          request: { uid, desiredAPIVersion: apiVersion, objects },
        },
        { timeoutMs: TIMEOUT_MS },
      )
    } catch (error) {
      throw failed(error instanceof Error ? error.message : String(error))
    }
    return convertedObjects(
      crd,
      answer,
      { uid, apiVersion, version, objects },
      { failed, returned },
    )
  }

function convertedObjects(
  { spec }: CustomResourceDefinition,
  answer: JsonObject,
  asked: {
    readonly uid: string
    readonly apiVersion: string
    readonly version: string
    readonly objects: readonly KubeObject[]
  },
  { failed, returned }: Refusals,
): readonly KubeObject[] {
  const { uid, apiVersion, objects, version } = asked
  const response = answer['response']
  // The older form says neither what it is nor what it answers to.
  if (version === 'v1') {
    const expected = `apiextensions.k8s.io/${version}, Kind=ConversionReview`
    const given = `${textOf(answer['apiVersion'])}, Kind=${textOf(answer['kind'])}`
    if (given !== expected) throw failed(`expected webhook response of ${expected}, got ${given}`)
  }
  if (!isObject(response)) throw failed('no response provided')
  if (version === 'v1' && response['uid'] !== uid)
    throw failed(
      `expected response.uid=${JSON.stringify(uid)}, got ${JSON.stringify(textOf(response['uid']))}`,
    )
  const result = isObject(response['result']) ? response['result'] : {}
  const status = textOf(result['status'])
  if (status !== 'Success') {
    const message = textOf(result['message'])
    throw failed(message === '' ? `response.result.status was '${status}', not 'Success'` : message)
  }
  const given = response['convertedObjects']
  const converted: readonly unknown[] = Array.isArray(given) ? given : []
  if (converted.length !== objects.length)
    throw returned(`${converted.length} objects, expected ${objects.length}`)
  const isList = objects.length > 1
  return converted.map((object, i) => {
    const original = objects[i]!
    const at = `invalid ${isList ? 'converted ' : ''}object at index ${i}`
    const { apiVersion: version, kind, metadata } = isObject(object) ? object : {}
    if (version !== apiVersion)
      throw returned(
        `${at}: invalid groupVersion (expected ${apiVersion}, received ${textOf(version)})`,
      )
    if (kind !== spec.names.kind)
      throw returned(`${at}: invalid kind (expected ${spec.names.kind}, received ${textOf(kind)})`)
    const changed = identityProblem(metadata, original)
    if (changed !== undefined) throw returned(`${isList ? at : 'invalid object'}: ${changed}`)
    return {
      ...(object as JsonObject),
      metadata: metadataOf(metadata, original, (why) =>
        returned(`invalid metadata${isList ? ` in object at index ${i}` : ''}: ${why}`),
      ),
    } as KubeObject
  })
}

interface Refusals {
  /** The call did not come to an answer. */
  readonly failed: (why: string) => Error
  /** The answer is not what was asked for. */
  readonly returned: (what: string) => Error
}

/** An object stays the one that it is. */
function identityProblem(given: unknown, { metadata }: KubeObject): string | undefined {
  const now = isObject(given) ? given : {}
  for (const [field, name] of IDENTITY) {
    const before = textOf(metadata[field])
    const after = textOf(now[field])
    if (before !== after) return `must have the same ${name}: ${before} != ${after}`
  }
  return undefined
}

const IDENTITY = [
  ['name', 'name'],
  ['namespace', 'namespace'],
  ['uid', 'UID'],
] as const

/** A webhook may change labels and annotations; everything else of the metadata stays as it was. */
function metadataOf(
  given: unknown,
  { metadata }: KubeObject,
  invalid: (why: string) => Error,
): KubeObject['metadata'] {
  if (given === undefined) throw invalid('missing metadata in converted object')
  if (!isObject(given)) throw invalid('invalid metadata in converted object')
  const { labels: _labels, annotations: _annotations, ...kept } = metadata
  const changed: Record<string, Readonly<Record<string, string>>> = {}
  for (const field of ['labels', 'annotations'] as const) {
    const map = given[field]
    if (map === undefined || map === null) continue
    if (!isObject(map)) throw invalid(`invalid metadata.${field} in converted object`)
    for (const [key, value] of Object.entries(map))
      if (typeof value !== 'string')
        throw invalid(`metadata.${field}[${key}] must be a string in converted object`)
    changed[field] = map as Record<string, string>
  }
  if (!sameJson(changed['labels'], metadata.labels)) {
    const errors = validateLabels(changed['labels'] ?? {}, FieldPath.of('metadata', 'labels'))
    if (errors.length > 0) throw invalid(errors.map(textOfError).join(', '))
  }
  return { ...kept, ...changed }
}

const textOfError = ({ field, detail }: FieldError): string => `${field}: ${detail}`
