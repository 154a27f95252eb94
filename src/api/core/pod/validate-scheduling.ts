/** Rules about where a pod may run: affinity, tolerations, spreading. */
import {
  type FieldPath,
  duplicate,
  fieldNotFound,
  forbiddenField,
  invalidValue,
  notSupported,
  required,
  type FieldError,
} from '#machinery'
import type {
  Affinity,
  NodeSelector,
  NodeSelectorRequirement,
  NodeSelectorTerm,
  PodAffinityTerm,
  PodSpec,
  Toleration,
  TopologySpreadConstraint,
} from '../../types.gen.ts'
import { goForm } from '../../go-form.ts'
import {
  check,
  dnsLabel,
  dnsSubdomain,
  labelValue,
  qualifiedName,
  validateLabelSelector,
  validateOperator,
} from '../../rules.ts'

const EFFECTS = ['NoSchedule', 'PreferNoSchedule', 'NoExecute']

export function validateScheduling(spec: PodSpec, path: FieldPath): readonly FieldError[] {
  const errors: FieldError[] = []
  for (const [key, value] of Object.entries(spec.nodeSelector ?? {})) {
    const at = path.child('nodeSelector')
    errors.push(...check(at, key, qualifiedName), ...check(at, value, labelValue))
  }
  if (spec.affinity) errors.push(...validateAffinity(spec.affinity, path.child('affinity')))
  errors.push(...validateTolerations(spec.tolerations ?? [], path.child('tolerations')))
  errors.push(
    ...validateSpread(
      spec.topologySpreadConstraints ?? [],
      path.child('topologySpreadConstraints'),
    ),
  )
  for (const [i, gate] of (spec.schedulingGates ?? []).entries()) {
    const at = path.child('schedulingGates').index(i)
    errors.push(...check(at, gate.name, qualifiedName))
    if ((spec.schedulingGates ?? []).findIndex(({ name }) => name === gate.name) < i) {
      errors.push(duplicate(at, gate.name))
    }
  }
  if ((spec.schedulingGates?.length ?? 0) > 0 && (spec.nodeName ?? '') !== '') {
    errors.push(
      forbiddenField(
        path.child('nodeName'),
        'cannot be set until all schedulingGates have been cleared',
      ),
    )
  }
  return errors
}

function validateAffinity(affinity: Affinity, path: FieldPath): readonly FieldError[] {
  const errors: FieldError[] = []
  const { nodeAffinity, podAffinity, podAntiAffinity } = affinity
  if (nodeAffinity) {
    const at = path.child('nodeAffinity')
    const { requiredDuringSchedulingIgnoredDuringExecution: must } = nodeAffinity
    if (must) {
      errors.push(
        ...validateNodeSelector(must, at.child('requiredDuringSchedulingIgnoredDuringExecution')),
        ...labelValuesOf(must, at.child('requiredDuringSchedulingIgnoredDuringExecution')),
      )
    }
    const preferred = nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution ?? []
    for (const [i, term] of preferred.entries()) {
      const each = at.child('preferredDuringSchedulingIgnoredDuringExecution').index(i)
      errors.push(...validateWeight(term.weight, each.child('weight')))
      errors.push(...validateNodeSelectorTerm(term.preference, each.child('preference')))
    }
  }
  for (const [name, terms] of Object.entries({ podAffinity, podAntiAffinity })) {
    if (terms === undefined) continue
    const at = path.child(name)
    const must = terms.requiredDuringSchedulingIgnoredDuringExecution ?? []
    for (const [i, term] of must.entries()) {
      const each = at.child('requiredDuringSchedulingIgnoredDuringExecution').index(i)
      errors.push(...validatePodTerm(term, each))
    }
    const preferred = terms.preferredDuringSchedulingIgnoredDuringExecution ?? []
    for (const [i, { weight, podAffinityTerm }] of preferred.entries()) {
      const each = at.child('preferredDuringSchedulingIgnoredDuringExecution').index(i)
      errors.push(...validateWeight(weight, each.child('weight')))
      errors.push(...validatePodTerm(podAffinityTerm, each.child('podAffinityTerm')))
    }
  }
  return errors
}

const validateWeight = (weight: number, path: FieldPath): readonly FieldError[] =>
  weight >= 1 && weight <= 100 ? [] : [invalidValue(path, weight, 'must be in the range 1-100')]

export function validateNodeSelector(
  selector: NodeSelector,
  path: FieldPath,
): readonly FieldError[] {
  const terms = selector.nodeSelectorTerms ?? []
  const at = path.child('nodeSelectorTerms')
  if (terms.length === 0) return [required(at, 'must have at least one node selector term')]
  return terms.flatMap((term, i) => validateNodeSelectorTerm(term, at.index(i)))
}

/** Values that no label can have would make a pod wait for ever. */
const labelValuesOf = (selector: NodeSelector, path: FieldPath): readonly FieldError[] =>
  (selector.nodeSelectorTerms ?? []).flatMap(({ matchExpressions = [] }, i) =>
    matchExpressions.flatMap(({ values = [] }, j) => {
      const at = path.child('nodeSelectorTerms').index(i).child('matchExpressions').index(j)
      return values.flatMap((value, k) => check(at.child('values').index(k), value, labelValue))
    }),
  )

function validateNodeSelectorTerm(term: NodeSelectorTerm, path: FieldPath): readonly FieldError[] {
  const errors: FieldError[] = []
  for (const [i, expression] of (term.matchExpressions ?? []).entries()) {
    errors.push(...validateRequirement(expression, path.child('matchExpressions').index(i)))
  }
  for (const [i, { key, operator, values = [] }] of (term.matchFields ?? []).entries()) {
    const at = path.child('matchFields').index(i)
    if (operator !== 'In' && operator !== 'NotIn') {
      errors.push(invalidValue(at.child('operator'), operator, 'not a valid selector operator'))
    } else if (values.length !== 1) {
      errors.push(
        required(
          at.child('values'),
          "must be only one value when `operator` is 'In' or 'NotIn' for node field selector",
        ),
      )
    }
    if (key !== 'metadata.name') {
      errors.push(invalidValue(at.child('key'), key, 'not a valid field selector key'))
    } else {
      for (const [j, value] of values.entries()) {
        errors.push(...check(at.child('values').index(j), value, dnsSubdomain))
      }
    }
  }
  return errors
}

function validateRequirement(
  { key, operator, values = [] }: NodeSelectorRequirement,
  path: FieldPath,
): readonly FieldError[] {
  const errors: FieldError[] = []
  if (operator !== 'Gt' && operator !== 'Lt')
    errors.push(...validateOperator({ operator, values }, path))
  else if (values.length !== 1)
    errors.push(
      required(
        path.child('values'),
        "must be specified single value when `operator` is 'Lt' or 'Gt'",
      ),
    )
  errors.push(...check(path.child('key'), key, qualifiedName))
  return errors
}

function validatePodTerm(term: PodAffinityTerm, path: FieldPath): readonly FieldError[] {
  const errors: FieldError[] = []
  errors.push(...validateLabelSelector(term.labelSelector, path.child('labelSelector')))
  errors.push(...validateLabelSelector(term.namespaceSelector, path.child('namespaceSelector')))
  for (const name of term.namespaces ?? []) {
    errors.push(...check(path.child('namespace'), name, dnsLabel))
  }
  for (const field of ['matchLabelKeys', 'mismatchLabelKeys'] as const) {
    for (const [i, key] of (term[field] ?? []).entries()) {
      errors.push(...check(path.child(field).index(i), key, qualifiedName))
      if (term.labelSelector === undefined) {
        errors.push(
          forbiddenField(path.child(field), 'must not be specified when labelSelector is not set'),
        )
      }
    }
  }
  if (term.topologyKey === '') errors.push(required(path.child('topologyKey'), 'can not be empty'))
  else errors.push(...check(path.child('topologyKey'), term.topologyKey, qualifiedName))
  return errors
}

export function validateTolerations(
  tolerations: readonly Toleration[],
  path: FieldPath,
): readonly FieldError[] {
  const errors: FieldError[] = []
  for (const [i, toleration] of tolerations.entries()) {
    errors.push(...validateToleration(toleration, path.index(i)))
  }
  return errors
}

function validateToleration(toleration: Toleration, path: FieldPath): readonly FieldError[] {
  const { key = '', operator = '', value = '', effect = '', tolerationSeconds } = toleration
  const errors: FieldError[] = []
  if (key !== '') errors.push(...check(path.child('key'), key, qualifiedName))
  if (key === '' && operator !== 'Exists') {
    errors.push(
      invalidValue(
        path.child('operator'),
        operator,
        'operator must be Exists when `key` is empty, which means "match all values and all keys"',
      ),
    )
  }
  if (tolerationSeconds !== undefined && effect !== 'NoExecute') {
    errors.push(
      invalidValue(
        path.child('effect'),
        effect,
        "effect must be 'NoExecute' when `tolerationSeconds` is set",
      ),
    )
  }
  switch (operator) {
    case '':
    case 'Equal': {
      const wrong = labelValue(value)
      if (wrong.length > 0) {
        errors.push(invalidValue(path.child('operator'), value, wrong.join(';')))
      }
      break
    }
    case 'Exists':
      if (value !== '') {
        errors.push(
          invalidValue(
            path.child('operator'),
            value,
            "value must be empty when `operator` is 'Exists'",
          ),
        )
      }
      break
    case 'Gt':
    case 'Lt':
      errors.push(notSupported(path.child('operator'), operator, ['Equal', 'Exists', 'Lt', 'Gt']))
      break
    default:
      errors.push(notSupported(path.child('operator'), operator, ['Equal', 'Exists']))
  }
  if (effect !== '' && !EFFECTS.includes(effect)) {
    errors.push(notSupported(path.child('effect'), effect, EFFECTS))
  }
  return errors
}

function validateSpread(
  constraints: readonly TopologySpreadConstraint[],
  path: FieldPath,
): readonly FieldError[] {
  const errors: FieldError[] = []
  for (const [i, each] of constraints.entries()) {
    const { maxSkew, topologyKey, whenUnsatisfiable, minDomains, labelSelector } = each
    const at = path.index(i)
    if (maxSkew <= 0) {
      errors.push(invalidValue(at.child('maxSkew'), maxSkew, 'must be greater than zero'))
    }
    if (topologyKey === '') errors.push(required(at.child('topologyKey'), 'can not be empty'))
    else errors.push(...check(at.child('topologyKey'), topologyKey, qualifiedName))
    const actions = ['DoNotSchedule', 'ScheduleAnyway']
    if (!actions.includes(whenUnsatisfiable)) {
      errors.push(notSupported(at.child('whenUnsatisfiable'), whenUnsatisfiable, actions))
    }
    const again = constraints.findIndex(
      (other, j) =>
        j > i && other.topologyKey === topologyKey && other.whenUnsatisfiable === whenUnsatisfiable,
    )
    if (again > 0) {
      errors.push(
        duplicate(
          at.child('{topologyKey, whenUnsatisfiable}'),
          `{${topologyKey}, ${whenUnsatisfiable}}`,
        ),
      )
    }
    if (minDomains !== undefined) {
      if (minDomains <= 0) {
        errors.push(invalidValue(at.child('minDomains'), minDomains, 'must be greater than zero'))
      }
      if (whenUnsatisfiable !== 'DoNotSchedule') {
        errors.push(
          invalidValue(
            at.child('minDomains'),
            minDomains,
            `can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ${whenUnsatisfiable}`,
          ),
        )
      }
    }
    for (const [j, key] of (each.matchLabelKeys ?? []).entries()) {
      errors.push(...check(at.child('matchLabelKeys').index(j), key, qualifiedName))
      if (labelSelector === undefined) {
        errors.push(
          forbiddenField(
            at.child('matchLabelKeys'),
            'must not be specified when labelSelector is not set',
          ),
        )
      }
    }
    errors.push(...validateLabelSelector(labelSelector, at.child('labelSelector')))
  }
  return errors
}

/** Claims of devices, for the containers that name them. */
export function validateResourceClaims(spec: PodSpec, path: FieldPath): readonly FieldError[] {
  const errors: FieldError[] = []
  const names = new Set<string>()
  for (const [i, claim] of (spec.resourceClaims ?? []).entries()) {
    const at = path.child('resourceClaims').index(i)
    if (claim.name === '') errors.push(required(at.child('name')))
    else if (names.has(claim.name)) errors.push(duplicate(at.child('name'), claim.name))
    else errors.push(...check(at.child('name'), claim.name, dnsLabel))
    names.add(claim.name)
    const { resourceClaimName, resourceClaimTemplateName } = claim
    if (resourceClaimName !== undefined && resourceClaimTemplateName !== undefined) {
      errors.push(
        invalidValue(
          at,
          goForm('core.v1.PodResourceClaim', claim),
          'at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified',
        ),
      )
    }
    if (resourceClaimName === undefined && resourceClaimTemplateName === undefined) {
      errors.push(
        invalidValue(
          at,
          goForm('core.v1.PodResourceClaim', claim),
          'must specify one of: `resourceClaimName`, `resourceClaimTemplateName`',
        ),
      )
    }
    for (const [field, name] of Object.entries({ resourceClaimName, resourceClaimTemplateName }))
      if (name !== undefined) errors.push(...check(at.child(field), name, dnsSubdomain))
  }
  for (const [name, containers] of [
    ['containers', spec.containers ?? []],
    ['initContainers', spec.initContainers ?? []],
  ] as const) {
    for (const [i, { resources }] of containers.entries()) {
      for (const [j, claim] of (resources?.claims ?? []).entries()) {
        if (claim.name !== '' && !names.has(claim.name)) {
          const at = path.child(name).index(i).child('resources', 'claims').index(j)
          if (names.size > 0) errors.push(fieldNotFound(at, claim.name))
        }
      }
    }
  }
  return errors
}
