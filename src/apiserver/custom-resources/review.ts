/** How a webhook is asked for objects in another version (ConversionReview, apiextensions.k8s.io/v1). */
import type { Env } from '#base'
import type { CustomResourceDefinition } from '#api'
import { internalError, type JsonObject, type KubeObject } from '#machinery'
import { isObject, sameFields, textOf } from '../json.ts'
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
    const kind = crd.spec.names.kind
    const from = objects.map((each) => textOf(each.apiVersion))
    const failed = (why: string): Error =>
      internalError(
        `conversion webhook for ${[...new Set(from)].map((each) => `${each}, Kind=${kind}`).join(' and ')} failed: ${why}`,
      )
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
    return convertedObjects(crd, answer, { uid, apiVersion, version, objects }, failed)
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
  failed: (why: string) => Error,
): readonly KubeObject[] {
  const { uid, apiVersion, objects } = asked
  const expected = `apiextensions.k8s.io/${asked.version}, Kind=ConversionReview`
  const given = `${textOf(answer['apiVersion'])}, Kind=${textOf(answer['kind'])}`
  if (given !== expected) throw failed(`expected webhook response of ${expected}, got ${given}`)
  const response = answer['response']
  if (!isObject(response)) throw failed('no response provided')
  if (response['uid'] !== uid)
    throw failed(
      `expected response.uid ${JSON.stringify(uid)}, got ${JSON.stringify(textOf(response['uid']))}`,
    )
  const result = isObject(response['result']) ? response['result'] : {}
  if (result['status'] !== 'Success') {
    const message = textOf(result['message'])
    throw failed(message === '' ? 'response.result.status was not Success' : message)
  }
  const converted = response['convertedObjects']
  if (!Array.isArray(converted) || converted.length !== objects.length)
    throw failed(
      `expected ${objects.length} converted objects, got ${Array.isArray(converted) ? converted.length : 0}`,
    )
  return converted.map((object: unknown, i) => {
    const original = objects[i]!
    if (
      !isObject(object) ||
      object['apiVersion'] !== apiVersion ||
      object['kind'] !== spec.names.kind
    )
      throw failed(
        `invalid converted object at index ${i}: expected ${apiVersion}, Kind=${spec.names.kind}`,
      )
    return {
      ...object,
      metadata: metadataOf(object['metadata'], original, i, failed),
    } as KubeObject
  })
}

/** A webhook may change labels and annotations; everything else of the metadata stays as it was. */
function metadataOf(
  given: unknown,
  { metadata }: KubeObject,
  i: number,
  failed: (why: string) => Error,
): KubeObject['metadata'] {
  if (!isObject(given)) throw failed(`invalid metadata in converted object at index ${i}`)
  const { labels, annotations } = given as Pick<KubeObject['metadata'], 'labels' | 'annotations'>
  for (const field of ['name', 'namespace', 'uid'] as const)
    if ((given[field] ?? '') !== (metadata[field] ?? ''))
      throw failed(
        `invalid metadata of converted object at index ${i}: metadata.${field} must not be changed`,
      )
  const { labels: _labels, annotations: _annotations, ...kept } = metadata
  const changed = {
    ...(labels === undefined ? {} : { labels }),
    ...(annotations === undefined ? {} : { annotations }),
  }
  return sameFields(changed as JsonObject, {}) ? kept : { ...kept, ...changed }
}
