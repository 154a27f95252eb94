/** The downward API: fields and resources of a pod, for its own environment and volumes. */
import type { Pod, ResourceFieldSelector } from '#api'
import { amountOf } from '../amounts.ts'
import { findContainer, namespaceOf, uidOf } from './containers.ts'

export interface DownwardFacts {
  readonly nodeName: string
  readonly nodeIps: readonly string[]
  readonly podIps: readonly string[]
  /** What a container without a limit may use at most. */
  readonly allocatable: Readonly<Record<string, string>>
}

const SUBSCRIPT = /^metadata\.(labels|annotations)\['(.*)'\]$/

/** Throws for a path that is not supported: the API has refused most of these already. */
export function fieldValue(pod: Pod, path: string, facts: DownwardFacts): string {
  const { metadata, spec } = pod
  const subscript = SUBSCRIPT.exec(path)
  if (subscript !== null) {
    const map = subscript[1] === 'labels' ? metadata.labels : metadata.annotations
    return map?.[subscript[2] ?? ''] ?? ''
  }
  switch (path) {
    case 'metadata.name':
      return metadata.name
    case 'metadata.namespace':
      return namespaceOf(pod)
    case 'metadata.uid':
      return uidOf(pod)
    case 'metadata.labels':
      return formatMap(metadata.labels)
    case 'metadata.annotations':
      return formatMap(metadata.annotations)
    case 'spec.nodeName':
      return facts.nodeName
    case 'spec.serviceAccountName':
      return spec.serviceAccountName ?? ''
    case 'status.hostIP':
      return facts.nodeIps[0] ?? ''
    case 'status.hostIPs':
      return facts.nodeIps.join(',')
    case 'status.podIP':
      return facts.podIps[0] ?? ''
    case 'status.podIPs':
      return facts.podIps.join(',')
    default:
      throw new Error(`unsupported fieldPath: ${path}`)
  }
}

/** A line `key="value"` for each entry, in the keys' order; the quotes as in Go's syntax. */
const formatMap = (map: Readonly<Record<string, string>> = {}): string =>
  Object.entries(map)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${quote(value)}`)
    .join('\n')

const ESCAPES: Readonly<Record<string, string>> = {
  '"': '\\"',
  '\\': '\\\\',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\u0007': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\v': '\\v',
}

const quote = (text: string): string =>
  `"${text.replaceAll(
    // oxlint-disable-next-line no-control-regex -- these are what has to be written otherwise
    /["\\\x00-\x1f\x7f]/g,
    (letter) => ESCAPES[letter] ?? `\\x${letter.charCodeAt(0).toString(16).padStart(2, '0')}`,
  )}"`

/** Rounded up to the divisor. A limit that is not stated is what the node can give. */
export function resourceValue(
  pod: Pod,
  containerName: string,
  { resource, divisor }: ResourceFieldSelector,
  { allocatable }: DownwardFacts,
): string {
  const found = findContainer(pod, containerName)
  if (found === undefined) throw new Error(`container ${containerName} not found`)
  const { limits = {}, requests = {} } = found[0].resources ?? {}
  const dot = resource.indexOf('.')
  const [kind, name] = [resource.slice(0, dot), resource.slice(dot + 1)]
  const amount =
    kind === 'limits'
      ? amountOf(limits[name] ?? allocatable[name])
      : amountOf(requests[name] ?? limits[name])
  const unit = amountOf(divisor)
  return String(Math.ceil(Number((amount / (unit === 0 ? 1 : unit)).toFixed(6))))
}
