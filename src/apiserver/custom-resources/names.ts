/** Which names a definition may have, and what its conditions say of them. */
import type { CustomResourceDefinition } from '#api'
import { approvalOf, isProtected } from './approval.ts'
import { hasBadBundle } from './conversion-rules.ts'

type Status = NonNullable<CustomResourceDefinition['status']>
type Names = CustomResourceDefinition['spec']['names']
export type Condition = NonNullable<Status['conditions']>[number]

export const isTrue = ({ status }: CustomResourceDefinition, type: string): boolean =>
  status?.conditions?.some((each) => each.type === type && each.status === 'True') === true

/** Names that the others of the group have already, in two spaces: what URLs say, and kinds. */
function takenBy(others: readonly CustomResourceDefinition[]): {
  readonly resources: ReadonlySet<string>
  readonly kinds: ReadonlySet<string>
} {
  const resources = new Set<string>()
  const kinds = new Set<string>()
  for (const { status } of others) {
    const { plural, singular, shortNames = [], kind, listKind } = status?.acceptedNames ?? {}
    for (const name of [plural, singular, ...shortNames]) if (name) resources.add(name)
    for (const name of [kind, listKind]) if (name) kinds.add(name)
  }
  return { resources, kinds }
}

const inUse = (name: string): string => `${JSON.stringify(name)} is already in use`

/** The status as the names of the group allow it. `others` are the definitions of the same group. */
export function decideNames(
  definition: CustomResourceDefinition,
  others: readonly CustomResourceDefinition[],
  now: Date,
): Status {
  const { names } = definition.spec
  const { status = {} } = definition
  const accepted: Partial<Names> = status.acceptedNames ?? {}
  const { resources, kinds } = takenBy(others)
  let refusal: Pick<Condition, 'reason' | 'message'> | undefined
  const next: { -readonly [K in keyof Names]?: Names[K] } = { ...accepted }

  const claim = (
    field: 'plural' | 'singular' | 'kind' | 'listKind',
    taken: ReadonlySet<string>,
    reason: string,
  ): void => {
    const wanted = names[field] ?? ''
    if (wanted !== '' && wanted !== accepted[field] && taken.has(wanted))
      refusal = { reason, message: inUse(wanted) }
    else next[field] = wanted
  }
  claim('plural', resources, 'PluralConflict')
  claim('singular', resources, 'SingularConflict')
  const clashes = (names.shortNames ?? []).filter(
    (name) => accepted.shortNames?.includes(name) !== true && resources.has(name),
  )
  if (clashes.length > 0) {
    const texts = clashes.map(inUse)
    refusal = {
      reason: 'ShortNamesConflict',
      message: texts.length === 1 ? texts[0]! : `[${texts.join(', ')}]`,
    }
  } else if (names.shortNames === undefined) delete next.shortNames
  else next.shortNames = names.shortNames
  claim('kind', kinds, 'KindConflict')
  claim('listKind', kinds, 'ListKindConflict')
  if (names.categories === undefined) delete next.categories
  else next.categories = names.categories

  const namesAccepted: Condition =
    refusal === undefined
      ? {
          type: 'NamesAccepted',
          status: 'True',
          reason: 'NoConflicts',
          message: 'no conflicts found',
        }
      : { type: 'NamesAccepted', status: 'False', ...refusal }
  // Once established it stays so: what is stored under its names does not go away.
  const established: Condition =
    refusal === undefined && hasBadBundle(definition.spec)
      ? {
          type: 'Established',
          status: 'False',
          reason: 'InvalidCABundle',
          message: 'The conversion webhook CABundle is invalid',
        }
      : refusal === undefined
        ? {
            type: 'Established',
            status: 'True',
            reason: 'InitialNamesAccepted',
            message: 'the initial names have been accepted',
          }
        : {
            type: 'Established',
            status: 'False',
            reason: 'NotAccepted',
            message: 'not all names are accepted',
          }
  const conditions = [
    namesAccepted,
    ...(isTrue(definition, 'Established') ? [] : [established]),
    ...(isProtected(definition.spec.group) ? [approvalCondition(definition)] : []),
  ]
  return {
    ...status,
    acceptedNames: next as Names,
    conditions: conditions.reduce(
      (list, each) => withCondition(list, each, now),
      status.conditions ?? [],
    ),
    storedVersions: status.storedVersions ?? [],
  }
}

/** Whether a definition in a group of the community's own says who approved it. */
function approvalCondition(definition: CustomResourceDefinition): Condition {
  const { state, text } = approvalOf(definition)
  return {
    type: 'KubernetesAPIApprovalPolicyConformant',
    status: state === 'approved' ? 'True' : 'False',
    reason: APPROVAL_REASONS[state],
    message: text,
  }
}
const APPROVAL_REASONS = {
  missing: 'MissingAnnotation',
  bypassed: 'UnapprovedAnnotation',
  approved: 'ApprovedAnnotation',
  invalid: 'InvalidAnnotation',
} as const

/** RFC 3339 in whole seconds. */
const timeText = (now: Date): string => `${now.toISOString().slice(0, 19)}Z`

/** The conditions with one replaced, or added; its time is that of its last change of status. */
export function withCondition(
  conditions: readonly Condition[],
  condition: Condition,
  now: Date,
): readonly Condition[] {
  const before = conditions.find(({ type }) => type === condition.type)
  if (before === undefined)
    return [...conditions, { ...condition, lastTransitionTime: timeText(now) }]
  const lastTransitionTime =
    before.status === condition.status && before.lastTransitionTime !== undefined
      ? before.lastTransitionTime
      : timeText(now)
  return conditions.map((each) => (each === before ? { ...condition, lastTransitionTime } : each))
}
