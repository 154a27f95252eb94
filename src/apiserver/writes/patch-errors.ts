/** Patches whose result is no object of the type: 422, about the patch as a whole. */
import { FieldPath, StatusError, invalid, invalidValue } from '#machinery'
import { isObject } from '../json.ts'

/** ` "" is invalid: patch: Invalid value: "…": strict decoding error: unknown field "spec.foo"` */
export function patchRefused(shown: string, why: string): StatusError {
  const field = invalidValue(FieldPath.of('patch'), shown, why)
  const { status } = invalid({ group: '', kind: '' }, '', [field])
  return new StatusError('Invalid', status.message ?? '', {
    details: { causes: status.details?.causes ?? [] },
  })
}

/** What a JSON patch cannot do is told without its reason, as it has always been. */
export function jsonPatchRefused(error: unknown): unknown {
  if (!(error instanceof StatusError) || error.reason !== 'Invalid') return error
  return new StatusError(
    'Invalid',
    'the server rejected our request due to an error in our request',
    { details: {} },
  )
}

const OPERATION_FIELDS: ReadonlySet<string> = new Set(['op', 'from', 'path', 'value'])

/** Members of operations that mean nothing: `json patch unknown field "[0].values"`. */
export function unknownInJsonPatch(patch: unknown): readonly string[] {
  if (!Array.isArray(patch)) return []
  return patch.flatMap((operation: unknown, i) =>
    isObject(operation)
      ? Object.keys(operation)
          .filter((key) => !OPERATION_FIELDS.has(key))
          .map((key) => `json patch unknown field ${JSON.stringify(`[${i}].${key}`)}`)
      : [],
  )
}
