/** Selectors, compiled into predicates once a pod instead of read at every node. */
import type { Node, NodeSelectorRequirement, NodeSelectorTerm, Pod, Taint, Toleration } from '#api'
import type { LabelSelector } from '#machinery'

export type Labels = Readonly<Record<string, string>>
export type Matches<T> = (value: T) => boolean

const nothing = () => false
const everything = () => true
const NO_LABELS: Labels = {}
export const labelsOf = (object: { metadata: { labels?: Labels | undefined } }): Labels =>
  object.metadata.labels ?? NO_LABELS

/** An absent selector matches nothing, an empty one everything. */
export function compileSelector(selector: LabelSelector | undefined): Matches<Labels> {
  if (selector === undefined) return nothing
  const equal = Object.entries(selector.matchLabels ?? {})
  const rules = (selector.matchExpressions ?? []).map(({ key, operator, values }) =>
    compileRequirement({ key, operator, values: values ?? [] }),
  )
  if (equal.length === 0 && rules.length === 0) return everything
  return (labels) => {
    for (const [key, value] of equal) if (labels[key] !== value) return false
    for (const rule of rules) if (!rule(labels)) return false
    return true
  }
}

interface Requirement {
  readonly key: string
  readonly operator: string
  readonly values: readonly string[]
}

function compileRequirement({ key, operator, values }: Requirement): Matches<Labels> {
  switch (operator) {
    case 'In':
      return (labels) => labels[key] !== undefined && values.includes(labels[key])
    case 'NotIn':
      return (labels) => labels[key] === undefined || !values.includes(labels[key])
    case 'Exists':
      return (labels) => labels[key] !== undefined
    case 'DoesNotExist':
      return (labels) => labels[key] === undefined
    case 'Gt':
      return compareInteger(key, values, (value, bound) => value > bound)
    case 'Lt':
      return compareInteger(key, values, (value, bound) => value < bound)
    default:
      return nothing
  }
}

function compareInteger(
  key: string,
  values: readonly string[],
  compare: (value: number, bound: number) => boolean,
): Matches<Labels> {
  const bound = integer(values[0])
  if (bound === undefined) return nothing
  return (labels) => {
    const value = integer(labels[key])
    return value !== undefined && compare(value, bound)
  }
}

const integer = (text: string | undefined): number | undefined =>
  text !== undefined && /^[+-]?\d+$/.test(text) ? Number(text) : undefined

const compileFields = ({ key, operator, values = [] }: NodeSelectorRequirement): Matches<Node> => {
  if (key !== 'metadata.name') return nothing
  if (operator === 'In') return ({ metadata: { name } }) => values.includes(name)
  if (operator === 'NotIn') return ({ metadata: { name } }) => !values.includes(name)
  return nothing
}

/** A term without requirements matches nothing. */
export function compileNodeTerm(term: NodeSelectorTerm): Matches<Node> {
  const labelRules = (term.matchExpressions ?? []).map(({ key, operator, values = [] }) =>
    compileRequirement({ key, operator, values }),
  )
  const fieldRules = (term.matchFields ?? []).map(compileFields)
  if (labelRules.length === 0 && fieldRules.length === 0) return nothing
  return (node) => {
    const labels = labelsOf(node)
    return labelRules.every((rule) => rule(labels)) && fieldRules.every((rule) => rule(node))
  }
}

/** Whether a node is one that the pod's `nodeSelector` and required node affinity allow; undefined when they allow all. */
export function compileNodeAffinity({ spec }: Pod): Matches<Node> | undefined {
  const wanted = Object.entries(spec.nodeSelector ?? {})
  const required = spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution
  if (wanted.length === 0 && required === undefined) return undefined
  const terms = required?.nodeSelectorTerms.map(compileNodeTerm)
  return (node) => {
    const labels = labelsOf(node)
    for (const [key, value] of wanted) if (labels[key] !== value) return false
    return terms === undefined || terms.some((term) => term(node))
  }
}

/** Node names that a pod is bound to by `matchFields`, as pods of daemon sets are; undefined when it is not. */
export function requiredNodeNames({ spec }: Pod): ReadonlySet<string> | undefined {
  const terms =
    spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms
  if (terms === undefined || terms.length === 0) return undefined
  const names = new Set<string>()
  for (const { matchFields = [] } of terms) {
    let ofTerm: readonly string[] | undefined
    for (const { key, operator, values = [] } of matchFields) {
      if (key !== 'metadata.name' || operator !== 'In') continue
      ofTerm = ofTerm === undefined ? values : ofTerm.filter((name) => values.includes(name))
    }
    if (ofTerm === undefined) return undefined
    for (const name of ofTerm) names.add(name)
  }
  return names
}

const tolerates = (toleration: Toleration, { key, value = '', effect }: Taint): boolean => {
  if (toleration.effect !== undefined && toleration.effect !== effect) return false
  if (toleration.key !== undefined && toleration.key !== '' && toleration.key !== key) return false
  if (toleration.operator === 'Exists') return true
  if (toleration.key === undefined || toleration.key === '') return false
  return (toleration.operator ?? 'Equal') === 'Equal' && (toleration.value ?? '') === value
}

export const isTolerated = (taint: Taint, tolerations: readonly Toleration[]): boolean =>
  tolerations.some((toleration) => tolerates(toleration, taint))

/** NoSchedule and NoExecute keep pods away; PreferNoSchedule does not. */
export const isHard = ({ effect }: Taint): boolean => effect !== 'PreferNoSchedule'
