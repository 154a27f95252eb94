/** Between versions: as they are with another name, or as a webhook says. */
import type { CustomResourceDefinition } from '#api'
import {
  apiVersionOf,
  internalError,
  type Conversion,
  type JsonObject,
  type KubeObject,
} from '#machinery'
import { copyJson } from '../json.ts'

/** Asks a webhook for objects in another version; the answer has as many, in the same order. */
export type Convert = (
  crd: CustomResourceDefinition,
  apiVersion: string,
  objects: readonly KubeObject[],
) => Promise<readonly KubeObject[]>

interface Steps {
  /** What an object from the store lacks for being one of its own version, in place. */
  readonly finish: (object: JsonObject) => void
  /** Takes out what this version does not know, in place. */
  readonly trim: (object: JsonObject) => void
}

export function conversionFor(
  {
    crd,
    version,
    stored,
    convert,
  }: {
    readonly crd: CustomResourceDefinition
    readonly version: string
    readonly stored: string
    readonly convert: Convert
  },
  { finish, trim }: Steps,
): Conversion {
  const { group, conversion } = crd.spec
  const own = apiVersionOf({ group, version })
  const storedVersion = apiVersionOf({ group, version: stored })
  const isWebhook = conversion?.strategy === 'Webhook'

  const finished = (object: KubeObject): JsonObject => {
    const copy = copyJson(object) as unknown as JsonObject
    finish(copy)
    return copy
  }
  /** What a webhook made has defaults of the version that it was made from, and of no other. */
  const made = new WeakSet<KubeObject>()
  const fromStorage = (object: KubeObject): JsonObject => {
    if (made.has(object)) return object as unknown as JsonObject
    const copy = finished(object)
    if (copy['apiVersion'] === own) return copy
    if (isWebhook) throw internalError(`an object was not converted to ${own} before it was shown`)
    copy['apiVersion'] = own
    trim(copy)
    return copy
  }
  const plain: Conversion = {
    stored: { group, version: stored },
    fromStorage,
    toStorage: (object) => ({ ...object, apiVersion: storedVersion }),
  }
  if (!isWebhook) return plain
  return {
    ...plain,
    toStorage: (object) => object,
    ahead: {
      isNeeded: (object) => object.apiVersion !== own,
      async fromStorage(objects) {
        const converted = await convert(
          crd,
          own,
          objects.map((each) => finished(each) as unknown as KubeObject),
        )
        return converted.map((each) => {
          const copy = copyJson(each) as unknown as JsonObject
          trim(copy)
          made.add(copy as unknown as KubeObject)
          return copy as unknown as KubeObject
        })
      },
      async toStorage(object) {
        if (version === stored) return object
        const [converted] = await convert(crd, storedVersion, [object as unknown as KubeObject])
        return copyJson(converted) as unknown as JsonObject
      },
    },
  }
}
