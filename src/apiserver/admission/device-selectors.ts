/** Expressions that choose devices (KEP-4381) are compiled before they are stored. */
import { compileCel, type CelDeclaration } from '#cel'
import { FieldPath, invalidValue, tooLong, type FieldError, type JsonObject } from '#machinery'
import { isObject } from '../json.ts'

/** What an expression knows of a device: attributes and capacities by their domain and then by name. */
const DEVICE: CelDeclaration = {
  fields: {
    driver: 'string',
    attributes: 'map<string, map<string, dyn>>',
    capacity: 'map<string, map<string, kubernetes.Quantity>>',
    allowMultipleAllocations: 'bool',
  },
}
const MAX_LENGTH = 10 * 1024

const list = (value: unknown): readonly JsonObject[] =>
  Array.isArray(value) ? value.filter(isObject) : []

function selectorErrors(selectors: unknown, path: FieldPath): readonly FieldError[] {
  return list(selectors).flatMap(({ cel }, i) => {
    const at = path.index(i).child('cel', 'expression')
    const source = isObject(cel) ? cel['expression'] : undefined
    // Its absence is told by what knows the type.
    if (typeof source !== 'string' || source === '') return []
    if (source.length > MAX_LENGTH) return [tooLong(at, MAX_LENGTH)]
    const program = compileCel(source, {
      variables: { device: DEVICE },
      returns: 'any',
      bindings: true,
    })
    if ('failure' in program) return [invalidValue(at, source, program.failure)]
    return program.returns === 'bool' || program.returns === 'dyn'
      ? []
      : [
          invalidValue(
            at,
            source,
            `must evaluate to bool or the unknown type, not ${program.returns}`,
          ),
        ]
  })
}

function claimErrors(spec: unknown, path: FieldPath): readonly FieldError[] {
  if (!isObject(spec) || !isObject(spec['devices'])) return []
  return list(spec['devices']['requests']).flatMap((request, i) => {
    const at = path.child('devices', 'requests').index(i)
    const { exactly, firstAvailable } = request
    return [
      // Requests of v1beta1 have their selectors themselves.
      ...selectorErrors(request['selectors'], at.child('selectors')),
      ...(isObject(exactly)
        ? selectorErrors(exactly['selectors'], at.child('exactly', 'selectors'))
        : []),
      ...list(firstAvailable).flatMap(({ selectors }, j) =>
        selectorErrors(selectors, at.child('firstAvailable').index(j).child('selectors')),
      ),
    ]
  })
}

const SPEC = FieldPath.of('spec')

/** By resource of `resource.k8s.io`. */
export const DEVICE_CHECKS: Readonly<
  Record<string, (object: JsonObject) => readonly FieldError[]>
> = {
  deviceclasses: ({ spec }) =>
    isObject(spec) ? selectorErrors(spec['selectors'], SPEC.child('selectors')) : [],
  resourceclaims: ({ spec }) => claimErrors(spec, SPEC),
  resourceclaimtemplates: ({ spec }) =>
    isObject(spec) ? claimErrors(spec['spec'], SPEC.child('spec')) : [],
}
