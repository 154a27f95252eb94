/** What is accepted and yet most likely not meant. */
import type { Container, Pod, PodSpec, PodTemplateSpec } from '../../types.gen.ts'

const DEPRECATED_ANNOTATIONS: Readonly<Record<string, string>> = {
  'scheduler.alpha.kubernetes.io/critical-pod': 'use the "priorityClassName" field instead',
  'security.alpha.kubernetes.io/sysctls': 'use the "sysctls" field instead',
  'security.alpha.kubernetes.io/unsafe-sysctls': 'use the "sysctls" field instead',
}
const DEPRECATED_NODE_LABELS: Readonly<Record<string, string>> = {
  'beta.kubernetes.io/arch': 'use "kubernetes.io/arch" instead',
  'beta.kubernetes.io/os': 'use "kubernetes.io/os" instead',
  'failure-domain.beta.kubernetes.io/region': 'use "topology.kubernetes.io/region" instead',
  'failure-domain.beta.kubernetes.io/zone': 'use "topology.kubernetes.io/zone" instead',
  'beta.kubernetes.io/instance-type': 'use "node.kubernetes.io/instance-type" instead',
}

export const podWarnings = (pod: Pod): readonly string[] =>
  templateWarnings(pod, 'spec', 'metadata')

/** Of a pod template inside a workload. */
export const podTemplateWarnings = (
  template: PodTemplateSpec | undefined,
  path = 'spec.template',
): readonly string[] =>
  template?.spec === undefined ? [] : templateWarnings(template, `${path}.spec`, `${path}.metadata`)

function templateWarnings(
  { metadata, spec }: { readonly metadata?: PodTemplateSpec['metadata']; readonly spec?: PodSpec },
  path: string,
  metadataPath: string,
): readonly string[] {
  if (spec === undefined) return []
  const warnings: string[] = []
  for (const key of Object.keys(spec.nodeSelector ?? {})) {
    const instead = DEPRECATED_NODE_LABELS[key]
    if (instead !== undefined) {
      warnings.push(`${path}.nodeSelector[${key}]: deprecated since v1.14; ${instead}`)
    }
  }
  for (const [key, instead] of Object.entries(DEPRECATED_ANNOTATIONS)) {
    if (metadata?.annotations?.[key] !== undefined) {
      warnings.push(`${metadataPath}.annotations[${key}]: non-functional in v1.16+; ${instead}`)
    }
  }
  for (const [i, volume] of (spec.volumes ?? []).entries()) {
    if (volume.gitRepo) {
      warnings.push(
        `${path}.volumes[${i}].gitRepo: deprecated in v1.11, and disabled by default in v1.33+`,
      )
    }
    if (volume.glusterfs) warnings.push(`${path}.volumes[${i}].glusterfs: deprecated in v1.25`)
  }
  for (const field of ['initContainers', 'containers'] as const) {
    for (const [i, container] of (spec[field] ?? []).entries()) {
      warnings.push(...containerWarnings(container, `${path}.${field}[${i}]`))
    }
  }
  warnings.push(...portWarnings(spec, path))
  if ((spec.terminationGracePeriodSeconds ?? 0) < 0) {
    warnings.push(
      `${path}.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1`,
    )
  }
  return warnings
}

function containerWarnings({ env = [], resources }: Container, path: string): readonly string[] {
  const warnings: string[] = []
  const last = new Map<string, string | undefined>()
  for (const [i, { name, value }] of env.entries()) {
    // A variable that builds on the one of the same name before it is meant.
    if (last.has(name) && value?.includes(`$(${name})`) !== true) {
      warnings.push(
        `${path}.env[${i}]: hides previous definition of "${name}", which may be dropped when using apply`,
      )
    }
    last.set(name, value)
  }
  for (const part of ['requests', 'limits'] as const) {
    for (const name of ['memory', 'ephemeral-storage']) {
      const quantity = resources?.[part]?.[name]
      if (quantity?.endsWith('m') === true) {
        warnings.push(
          `${path}.resources.${part}[${name}]: fractional byte value "${quantity}" is invalid, must be an integer`,
        )
      }
    }
  }
  return warnings
}

function portWarnings({ containers }: PodSpec, path: string): readonly string[] {
  const seen = new Map<string, string>()
  const warnings: string[] = []
  for (const [i, { ports = [] }] of containers.entries()) {
    for (const [
      j,
      { containerPort, protocol = 'TCP', hostPort = 0, hostIP = '' },
    ] of ports.entries()) {
      const key = `${i}/${protocol}/${containerPort}/${hostPort}/${hostIP}`
      const at = `${path}.containers[${i}].ports[${j}]`
      const first = seen.get(key)
      if (first !== undefined) warnings.push(`${at}: duplicate port definition with ${first}`)
      else seen.set(key, at)
    }
  }
  return warnings
}
