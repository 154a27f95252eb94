/** What a namespace that is being deleted says of itself. Pure. */
import { timestamp } from '#machinery'
import type { Namespace, NamespaceCondition } from '#api'

/** What one look at a resource in the namespace found after asking for its deletion. */
export interface Remaining {
  /** `pods`, `deployments.apps` */
  readonly resource: string
  readonly count: number
  /** How many objects each finalizer keeps. */
  readonly finalizers: ReadonlyMap<string, number>
}

export interface Report {
  /** Group versions that did not answer. */
  readonly undiscovered: readonly string[]
  readonly failures: readonly string[]
  readonly remaining: readonly Remaining[]
}

type Verdict = Pick<NamespaceCondition, 'type' | 'status' | 'reason' | 'message'>

/** In upstream's words, for `kubectl describe` and for those who wait. */
function verdictsOf({ undiscovered, failures, remaining }: Report): readonly Verdict[] {
  const left = remaining.filter(({ count }) => count > 0)
  const finalizers = new Map<string, number>()
  for (const { finalizers: each } of left)
    for (const [name, count] of each) finalizers.set(name, (finalizers.get(name) ?? 0) + count)
  const sorted = (texts: readonly string[]): string => texts.toSorted().join(', ')
  return [
    undiscovered.length === 0
      ? no(
          'NamespaceDeletionDiscoveryFailure',
          'ResourcesDiscovered',
          'All resources successfully discovered',
        )
      : yes(
          'NamespaceDeletionDiscoveryFailure',
          'DiscoveryFailed',
          `Discovery failed for some groups, ${undiscovered.length} failing: unable to retrieve the complete list of server APIs: ${sorted(undiscovered)}`,
        ),
    no(
      'NamespaceDeletionGroupVersionParsingFailure',
      'ParsedGroupVersions',
      'All legacy kube types successfully parsed',
    ),
    failures.length === 0
      ? no(
          'NamespaceDeletionContentFailure',
          'ContentDeleted',
          'All content successfully deleted, may be waiting on finalization',
        )
      : yes(
          'NamespaceDeletionContentFailure',
          'ContentDeletionFailed',
          `Failed to delete all resource types, ${failures.length} remaining: ${sorted(failures)}`,
        ),
    left.length === 0
      ? no('NamespaceContentRemaining', 'ContentRemoved', 'All content successfully removed')
      : yes(
          'NamespaceContentRemaining',
          'SomeResourcesRemain',
          `Some resources are remaining: ${sorted(left.map(({ resource, count }) => `${resource} has ${count} resource instances`))}`,
        ),
    finalizers.size === 0
      ? no(
          'NamespaceFinalizersRemaining',
          'ContentHasNoFinalizers',
          'All content-preserving finalizers finished',
        )
      : yes(
          'NamespaceFinalizersRemaining',
          'SomeFinalizersRemain',
          `Some content in the namespace has finalizers remaining: ${sorted([...finalizers].map(([name, count]) => `${name} in ${count} resource instances`))}`,
        ),
  ]
}

const yes = (type: string, reason: string, message: string): Verdict => ({
  type,
  status: 'True',
  reason,
  message,
})
const no = (type: string, reason: string, message: string): Verdict => ({
  type,
  status: 'False',
  reason,
  message,
})

/** Undefined when the namespace says all that already. */
export function withReport(namespace: Namespace, report: Report, now: Date): Namespace | undefined {
  const before = namespace.status?.conditions ?? []
  let changed = false
  const ours = verdictsOf(report).map((verdict): NamespaceCondition => {
    const old = before.find(({ type }) => type === verdict.type)
    if (
      old !== undefined &&
      old.status === verdict.status &&
      old.reason === verdict.reason &&
      old.message === verdict.message
    )
      return old
    changed = true
    return {
      ...verdict,
      lastTransitionTime:
        old?.status === verdict.status && old.lastTransitionTime !== undefined
          ? old.lastTransitionTime
          : timestamp(now),
    }
  })
  if (!changed) return undefined
  const others = before.filter(({ type }) => !ours.some((each) => each.type === type))
  return {
    ...namespace,
    status: { ...namespace.status, phase: 'Terminating', conditions: [...others, ...ours] },
  }
}
