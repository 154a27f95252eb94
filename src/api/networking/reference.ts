/** An object named by another one. */
import { FieldPath, required, type FieldError } from '#machinery'
import { check, dnsSubdomain, pathSegment } from '../rules.ts'

/** Where all of them say what they are to be. */
export const path = FieldPath.of('spec')

/** An object of any kind, by its group, kind and name. */
export function validateReference(
  {
    apiGroup,
    kind,
    name,
  }: { readonly apiGroup?: string; readonly kind: string; readonly name: string },
  at: FieldPath,
): readonly FieldError[] {
  const errors: FieldError[] = []
  if (apiGroup !== undefined) errors.push(...check(at.child('apiGroup'), apiGroup, dnsSubdomain))
  for (const [field, value] of Object.entries({ kind, name }))
    if (value === '') errors.push(required(at.child(field)))
    else errors.push(...check(at.child(field), value, pathSegment))
  return errors
}
