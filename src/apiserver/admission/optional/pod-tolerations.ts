/** Which taints the pods of a namespace tolerate without saying so, and which they may, by its annotations. */
import { namespaces, type Pod, type Toleration } from '#api'
import { StatusError, notFound } from '#machinery'
import type { AdmissionPlugin } from '../../admission.ts'
import { isAbout, objectOf, type AdmissionLookups } from '../words.ts'

/** For namespaces without annotations. */
export interface TolerationRules {
  readonly default?: readonly Toleration[]
  readonly whitelist?: readonly Toleration[]
}

const DEFAULTS = 'scheduler.alpha.kubernetes.io/defaultTolerations'
const ALLOWED = 'scheduler.alpha.kubernetes.io/tolerationsWhitelist'
const MEMORY_PRESSURE: Toleration = {
  key: 'node.kubernetes.io/memory-pressure',
  operator: 'Exists',
  effect: 'NoSchedule',
}

export function podTolerationRestriction(
  read: AdmissionLookups,
  rules: TolerationRules = {},
): AdmissionPlugin {
  const annotated = (name: string, annotation: string): readonly Toleration[] | undefined => {
    const namespace = read.get(namespaces, '', name)
    if (namespace === undefined) throw notFound({ group: '', resource: 'namespaces' }, name)
    const text = namespace.metadata.annotations?.[annotation]
    return text === undefined ? undefined : text === '' ? [] : tolerationsIn(text)
  }
  return {
    name: 'PodTolerationRestriction',
    handles: (request) => isAbout(request, 'pods', ['CREATE', 'UPDATE']),
    mutate(request) {
      const { spec } = objectOf<Pod>(request)
      if (spec === undefined) return
      const more =
        request.operation === 'CREATE'
          ? (annotated(request.namespace, DEFAULTS) ?? rules.default ?? [])
          : []
      const all = isBestEffort(spec as Pod['spec']) ? more : [...more, MEMORY_PRESSURE]
      if (all.length > 0) spec.tolerations = [...merged([...(spec.tolerations ?? []), ...all])]
    },
    validate(request) {
      const tolerations = objectOf<Pod>(request).spec?.tolerations ?? []
      const own = annotated(request.namespace, ALLOWED)
      const allowed = own ?? rules.whitelist ?? []
      if (tolerations.length === 0 || allowed.length === 0) return
      if (tolerations.every((each) => allowed.some((wider) => covers(wider, each)))) return
      throw new StatusError(
        '',
        `pod tolerations (possibly merged with namespace default tolerations) conflict with its ${own === undefined ? 'cluster' : 'namespace'} whitelist`,
      )
    },
  }
}

function tolerationsIn(text: string): readonly Toleration[] {
  try {
    const value: unknown = JSON.parse(text)
    if (Array.isArray(value)) return value as readonly Toleration[]
  } catch {
    // Told below, like anything else that is no list.
  }
  throw new StatusError('', 'the annotation of the namespace is no list of tolerations')
}

const isBestEffort = (spec: Pod['spec']): boolean =>
  [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])].every(({ resources }) =>
    [resources?.requests, resources?.limits].every(
      (amounts) => amounts?.['cpu'] === undefined && amounts?.['memory'] === undefined,
    ),
  )

/** Those that no other covers. */
function merged(all: readonly Toleration[]): readonly Toleration[] {
  const kept: Toleration[] = []
  for (const [i, each] of all.entries()) {
    const isCovered =
      kept.some((other) => covers(other, each)) ||
      all.slice(i + 1).some((other) => !isSame(other, each) && covers(other, each))
    if (!isCovered) kept.push(each)
  }
  return kept
}

const isSame = (a: Toleration, b: Toleration): boolean =>
  (a.key ?? '') === (b.key ?? '') &&
  (a.operator ?? '') === (b.operator ?? '') &&
  (a.value ?? '') === (b.value ?? '') &&
  (a.effect ?? '') === (b.effect ?? '') &&
  a.tolerationSeconds === b.tolerationSeconds

/** Whether `wider` tolerates all that the other does. */
function covers(wider: Toleration, each: Toleration): boolean {
  if (isSame(wider, each)) return true
  const isForAll = !wider.key && wider.operator === 'Exists'
  if ((each.key ?? '') !== (wider.key ?? '') && !isForAll) return false
  if (wider.effect && each.effect !== wider.effect) return false
  if (wider.effect === 'NoExecute' && wider.tolerationSeconds !== undefined) {
    const { tolerationSeconds: seconds } = each
    if (seconds === undefined || seconds > wider.tolerationSeconds) return false
  }
  if (wider.operator === 'Exists') return true
  return each.operator === 'Equal' && (each.value ?? '') === (wider.value ?? '')
}
