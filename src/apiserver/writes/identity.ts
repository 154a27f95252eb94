/** Whether an update means the object that is there, by its name, uid and revision. */
import {
  FieldPath,
  STALE_OBJECT,
  badRequest,
  conflict,
  invalid,
  invalidValue,
  type JsonObject,
  type ObjectMeta,
} from '#machinery'
import { textOf } from '../json.ts'
import type { WriteTarget } from './target.ts'

/** As the store of Kubernetes tells it. */
const staleIdentity = (key: string, what: string, wanted: string, found: string): string =>
  `StorageError: invalid object, Code: 4, Key: ${key}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: ${what} in precondition: ${wanted}, ${what} in object meta: ${found}`

/** The 409 of an object of the same name that is another one. */
export const uidDiffers = (key: string, wanted: string, found: string): string =>
  staleIdentity(key, 'UID', wanted, found)

/** The 409 of an object that has changed since the asked revision. */
export const revisionDiffers = (key: string, wanted: string, found: string): string =>
  staleIdentity(key, 'ResourceVersion', wanted, found)

/** Throws when the update means another object or another state of it; what it leaves out is completed, in place. */
export function checkIdentity(
  { definition }: WriteTarget,
  name: string,
  metadata: JsonObject,
  old: ObjectMeta,
  { key, isPut }: { readonly key: string; readonly isPut: boolean },
): void {
  const { facts } = definition
  const called = textOf(metadata['name'])
  if (called === '') metadata['name'] = name
  else if (called !== name)
    throw badRequest(
      `the name of the object (${called}) does not match the name on the URL (${name})`,
    )
  const given = textOf(metadata['resourceVersion'])
  // Zero is no revision of anything: whatever is there is meant.
  const version = given === '0' ? '' : given
  if (version === '') {
    if (!definition.unconditionalUpdate)
      throw invalid(facts, name, [
        invalidValue(
          FieldPath.of('metadata', 'resourceVersion'),
          0,
          'must be specified for an update',
        ),
      ])
    metadata['resourceVersion'] = old.resourceVersion
  }
  const uid = textOf(metadata['uid'])
  // A patch that changes it meets the validation of metadata.
  if (isPut && uid !== '' && uid !== old.uid)
    throw conflict(facts, name, uidDiffers(key, uid, old.uid))
  if (version !== '' && version !== old.resourceVersion) throw conflict(facts, name, STALE_OBJECT)
}
