/** What is accepted and yet most likely not meant. */
import { ofFrozen } from '#machinery'
import { dnsLabel } from '../../rules.ts'
import { isWhole } from '../../quantities.ts'
import type { Pod, PodAffinity, PodSpec, PodTemplateSpec, Volume } from '../../types.gen.ts'
import { nodeLabelWarnings, nodeSelectorWarnings, nodeTermWarnings } from '../node-labels.ts'
import { containersOf, containerWarnings, portWarnings } from './warnings-containers.ts'

const DEAD_ANNOTATIONS: Readonly<Record<string, string>> = {
  'scheduler.alpha.kubernetes.io/critical-pod':
    'non-functional in v1.16+; use the "priorityClassName" field instead',
  'security.alpha.kubernetes.io/sysctls':
    'non-functional in v1.11+; use the "sysctls" field instead',
  'security.alpha.kubernetes.io/unsafe-sysctls':
    'non-functional in v1.11+; use the "sysctls" field instead',
}

const OLD_VOLUMES: Readonly<Record<string, string>> = {
  photonPersistentDisk: 'deprecated in v1.11, non-functional in v1.16+',
  gitRepo: 'deprecated in v1.11, and disabled by default in v1.33+',
  scaleIO: 'deprecated in v1.16, non-functional in v1.22+',
  flocker: 'deprecated in v1.22, non-functional in v1.25+',
  storageos: 'deprecated in v1.22, non-functional in v1.25+',
  quobyte: 'deprecated in v1.22, non-functional in v1.25+',
  glusterfs: 'deprecated in v1.25, non-functional in v1.26+',
  cephfs: 'deprecated in v1.28, non-functional in v1.31+',
  rbd: 'deprecated in v1.28, non-functional in v1.31+',
}

/** The name becomes a part of other names. */
export function hostnameWarnings(name: string | undefined, usedIn: string): readonly string[] {
  const wrong = name === undefined ? [] : dnsLabel(name)
  return wrong.length === 0
    ? []
    : [
        `metadata.name: this is used in ${usedIn}, which can result in surprising behavior; a DNS label is recommended: [${wrong.join(' ')}]`,
      ]
}

export const IN_POD_NAMES = 'Pod names and hostnames'

/** People seldom update pods: only new ones are looked at. */
export const podWarnings = (pod: Pod, old: Pod | undefined): readonly string[] =>
  old === undefined
    ? [
        ...hostnameWarnings(pod.metadata.name, "the Pod's hostname"),
        ...(pod.metadata.annotations === undefined
          ? specWarnings(pod.spec)
          : templateWarnings(pod, '', false)),
      ]
    : []

const specWarnings = ofFrozen((spec: PodSpec) => templateWarnings({ spec }, '', false))

interface Generated {
  readonly metadata: { readonly generation?: number }
}

/** Whether a workload says something new: updates of its status are not commented. */
export const isNewSpec = (now: Generated, old: Generated | undefined): boolean =>
  old === undefined || now.metadata.generation !== old.metadata.generation

/** Of a pod template inside a workload. */
export const podTemplateWarnings = (
  template: PodTemplateSpec | undefined,
  path = 'spec.template',
): readonly string[] =>
  template?.spec === undefined ? [] : templateWarnings(template, `${path}.`, true)

function templateWarnings(
  { metadata, spec }: { readonly metadata?: PodTemplateSpec['metadata']; readonly spec?: PodSpec },
  prefix: string,
  isTemplate: boolean,
): readonly string[] {
  if (spec === undefined) return []
  const path = `${prefix}spec`
  const annotations = metadata?.annotations ?? {}
  const ofAnnotation = (key: string, what: string): readonly string[] =>
    annotations[key] === undefined ? [] : [`${prefix}metadata.annotations[${key}]: ${what}`]
  const warnings: string[] = [
    ...nodeSelectorWarnings(spec.nodeSelector, `${path}.nodeSelector`),
    ...placementWarnings(spec, path),
    ...Object.entries(DEAD_ANNOTATIONS).flatMap(([key, what]) => ofAnnotation(key, what)),
    ...(spec.volumes ?? []).flatMap((volume, i) => volumeWarnings(volume, `${path}.volumes[${i}]`)),
    ...tokenPathWarnings(spec.volumes ?? [], path),
    ...listWarnings(spec, path),
  ]
  for (const name of FRACTIONS) {
    const amount = spec.overhead?.[name]
    if (amount !== undefined) warnings.push(...fraction(amount, `${path}.overhead[${name}]`))
  }
  const seccomp = 'non-functional in v1.27+; use the "seccompProfile" field instead'
  if (spec.securityContext?.seccompProfile === undefined)
    warnings.push(...ofAnnotation('seccomp.security.alpha.kubernetes.io/pod', seccomp))
  for (const { container, at } of containersOf(spec, path)) {
    const { name, securityContext } = container
    if (securityContext?.seccompProfile === undefined)
      warnings.push(
        ...ofAnnotation(`container.seccomp.security.alpha.kubernetes.io/${name}`, seccomp),
      )
    const profile = spec.securityContext?.appArmorProfile ?? securityContext?.appArmorProfile
    if (isTemplate && profile === undefined)
      warnings.push(
        ...ofAnnotation(
          `container.apparmor.security.beta.kubernetes.io/${name}`,
          'deprecated since v1.30; use the "appArmorProfile" field instead',
        ),
      )
    warnings.push(...containerWarnings(container, at))
  }
  warnings.push(...portWarnings(spec, path))
  if ((spec.terminationGracePeriodSeconds ?? 0) < 0)
    warnings.push(
      `${path}.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1`,
    )
  return [...warnings, ...affinityWarnings(spec, path)]
}

const MUST = 'requiredDuringSchedulingIgnoredDuringExecution'
const SHOULD = 'preferredDuringSchedulingIgnoredDuringExecution'
const NO_SELECTOR = 'a null labelSelector results in matching no pod'

function placementWarnings(spec: PodSpec, path: string): readonly string[] {
  const { nodeAffinity } = spec.affinity ?? {}
  const at = `${path}.affinity.nodeAffinity`
  return [
    ...(nodeAffinity?.[MUST]?.nodeSelectorTerms ?? []).flatMap((term, i) =>
      nodeTermWarnings(term, `${at}.${MUST}.nodeSelectorTerms[${i}]`),
    ),
    ...(nodeAffinity?.[SHOULD] ?? []).flatMap(({ preference }, i) =>
      nodeTermWarnings(preference, `${at}.${SHOULD}[${i}].preference`),
    ),
    ...(spec.topologySpreadConstraints ?? []).flatMap(({ topologyKey, labelSelector }, i) => {
      const each = `${path}.topologySpreadConstraints[${i}]`
      return [
        ...nodeLabelWarnings(topologyKey, `${each}.topologyKey`),
        ...(labelSelector === undefined ? [`${each}.labelSelector: ${NO_SELECTOR}`] : []),
      ]
    }),
  ]
}

function affinityWarnings({ affinity = {} }: PodSpec, path: string): readonly string[] {
  const of = (terms: PodAffinity | undefined, at: string): readonly string[] => [
    ...(terms?.[MUST] ?? []).flatMap(({ labelSelector }, i) =>
      labelSelector === undefined ? [`${at}.${MUST}[${i}].labelSelector: ${NO_SELECTOR}`] : [],
    ),
    ...(terms?.[SHOULD] ?? []).flatMap(({ podAffinityTerm: { labelSelector } }, i) =>
      labelSelector === undefined
        ? [`${at}.${SHOULD}[${i}].podAffinityTerm.labelSelector: ${NO_SELECTOR}`]
        : [],
    ),
  ]
  return [
    ...of(affinity.podAffinity, `${path}.affinity.podAffinity`),
    ...of(affinity.podAntiAffinity, `${path}.affinity.podAntiAffinity`),
  ]
}

/** Kinds of volumes that are going, or gone. */
export const oldVolumeWarnings = (volume: object, path: string): readonly string[] =>
  Object.entries(OLD_VOLUMES).flatMap(([kind, what]) =>
    kind in volume ? [`${path}.${kind === 'storageos' ? 'storageOS' : kind}: ${what}`] : [],
  )

function volumeWarnings(volume: Volume, path: string): readonly string[] {
  const old = oldVolumeWarnings(volume, path)
  const claim = volume.ephemeral?.volumeClaimTemplate?.spec
  return claim === undefined
    ? old
    : [...old, ...claimWarnings(claim, `${path}.ephemeral.volumeClaimTemplate.spec`)]
}

/** Files that would lie where a projected token does. */
function tokenPathWarnings(volumes: readonly Volume[], path: string): readonly string[] {
  const tokens = new Set(
    volumes.flatMap(({ projected }) =>
      (projected?.sources ?? []).flatMap(({ serviceAccountToken }) =>
        serviceAccountToken === undefined ? [] : [serviceAccountToken.path],
      ),
    ),
  )
  if (tokens.size === 0) return []
  return volumes.flatMap(({ projected }, i) => {
    const at = `${path}.volumes[${i}].projected.sources`
    const told = (where: string, file: string | undefined): readonly string[] =>
      file !== undefined && tokens.has(file)
        ? [`${at}.${where}: has duplicated path with ServiceAccountToken ${JSON.stringify(file)}`]
        : []
    return (projected?.sources ?? []).flatMap((source) => [
      ...(source.configMap?.items ?? []).flatMap((item, j) => told(`configMap[${j}]`, item.path)),
      ...(source.secret?.items ?? []).flatMap((item, j) => told(`secrets[${j}]`, item.path)),
      ...(source.downwardAPI?.items ?? []).flatMap((item, j) =>
        told(`downwardAPI[${j}]`, item.path),
      ),
      ...told('ClusterTrustBundle', source.clusterTrustBundle?.path),
    ])
  })
}

function listWarnings(spec: PodSpec, path: string): readonly string[] {
  const { hostAliases = [], imagePullSecrets = [] } = spec
  const again = (values: readonly string[], i: number): boolean =>
    values.indexOf(values[i] ?? '') < i
  const ips = hostAliases.map(({ ip }) => ip)
  const names = imagePullSecrets.map(({ name = '' }) => name)
  return [
    ...ips.flatMap((ip, i) =>
      again(ips, i) ? [`${path}.hostAliases[${i}].ip: duplicate ip ${JSON.stringify(ip)}`] : [],
    ),
    ...names.flatMap((name, i) =>
      again(names, i)
        ? [`${path}.imagePullSecrets[${i}].name: duplicate name ${JSON.stringify(name)}`]
        : [],
    ),
    ...names.flatMap((name, i) =>
      name === '' ? [`${path}.imagePullSecrets[${i}].name: invalid empty name ""`] : [],
    ),
  ]
}

const FRACTIONS = ['memory', 'ephemeral-storage']

/** Bytes do not come in parts. */
const fraction = (amount: string, path: string): readonly string[] =>
  isWhole(amount)
    ? []
    : [`${path}: fractional byte value ${JSON.stringify(amount)} is invalid, must be an integer`]

/** Of the spec of a claim, or of a template of claims. */
export const claimWarnings = (
  { resources }: { readonly resources?: { readonly requests?: object; readonly limits?: object } },
  path: string,
): readonly string[] =>
  (['requests', 'limits'] as const).flatMap((part) => {
    const amount = (resources?.[part] as Readonly<Record<string, string>> | undefined)?.['storage']
    return amount === undefined ? [] : fraction(amount, `${path}.resources.${part}[storage]`)
  })
