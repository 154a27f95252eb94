/** Labels of nodes that have been renamed: selectors that still name the old ones are warned of. */
import type { NodeSelectorTerm } from '../types.gen.ts'

const RENAMED: Readonly<Record<string, string>> = {
  'beta.kubernetes.io/arch': 'deprecated since v1.14; use "kubernetes.io/arch" instead',
  'beta.kubernetes.io/os': 'deprecated since v1.14; use "kubernetes.io/os" instead',
  'failure-domain.beta.kubernetes.io/region':
    'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
  'failure-domain.beta.kubernetes.io/zone':
    'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
  'beta.kubernetes.io/instance-type':
    'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
}

/** Of a map by labels: `spec.nodeSelector[beta.kubernetes.io/os]: deprecated since …`. */
export const nodeSelectorWarnings = (
  selector: Readonly<Record<string, string>> | undefined,
  path: string,
): readonly string[] =>
  Object.keys(selector ?? {}).flatMap((key) =>
    RENAMED[key] === undefined ? [] : [`${path}[${key}]: ${RENAMED[key]}`],
  )

/** Of a field that holds one key. */
export const nodeLabelWarnings = (key: string, path: string): readonly string[] =>
  RENAMED[key] === undefined ? [] : [`${path}: ${key} is ${RENAMED[key]}`]

export const nodeTermWarnings = (
  { matchExpressions = [] }: NodeSelectorTerm,
  path: string,
): readonly string[] =>
  matchExpressions.flatMap(({ key }, i) =>
    nodeLabelWarnings(key, `${path}.matchExpressions[${i}].key`),
  )
