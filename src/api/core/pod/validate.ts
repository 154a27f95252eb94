/** Rules about a pod, and about the template of one. */
import {
  FieldPath,
  dnsSubdomainWithUnderscore,
  forbiddenField,
  invalidValue,
  required,
  tooLong,
  type FieldError,
} from '#machinery'
import type { Pod, PodSpec, PodTemplateSpec } from '../../types.gen.ts'
import {
  check,
  dnsLabel,
  dnsSubdomain,
  ipAddress,
  qualifiedName,
  validateLabels,
} from '../../rules.ts'
import { checkContainerResourceName, checkQuantity } from '../../resource-names.ts'
import { validateResources } from './resources.ts'
import { validateAllContainers } from './validate-containers.ts'
import { validateOs } from './validate-os.ts'
import { validatePodSecurity } from './validate-security.ts'
import { validateResourceClaims, validateScheduling } from './validate-scheduling.ts'
import { validateVolumes } from './validate-volumes.ts'

const MAX_INT32 = 2_147_483_647

export function validatePod(pod: Pod): readonly FieldError[] {
  return validatePodSpec(pod.spec, FieldPath.of('spec'))
}

/** The template of a workload: labels that its selector can find, and a spec of its own rules. */
export function validatePodTemplate(
  template: PodTemplateSpec,
  path: FieldPath,
): readonly FieldError[] {
  const errors: FieldError[] = [
    ...validateLabels(template.metadata?.labels, path.child('labels')),
    ...validateAnnotations(template.metadata?.annotations, path.child('annotations')),
    ...validatePodSpec(template.spec ?? { containers: [] }, path.child('spec')),
  ]
  if ((template.spec?.ephemeralContainers?.length ?? 0) > 0) {
    errors.push(
      forbiddenField(
        path.child('spec', 'ephemeralContainers'),
        'ephemeral containers not allowed in pod template',
      ),
    )
  }
  return errors
}

function validateAnnotations(
  annotations: Readonly<Record<string, string>> | undefined,
  path: FieldPath,
): readonly FieldError[] {
  return Object.keys(annotations ?? {}).flatMap((key) =>
    check(path, key.toLowerCase(), qualifiedName),
  )
}

function validatePodSpec(spec: PodSpec, path: FieldPath): readonly FieldError[] {
  const errors: FieldError[] = []
  errors.push(...validateVolumes(spec.volumes ?? [], path.child('volumes')))
  errors.push(...validateAllContainers(spec, path))
  errors.push(...validateResourceClaims(spec, path))
  if (spec.resources) errors.push(...validateResources(spec.resources, path.child('resources')))
  errors.push(...validatePodSecurity(spec, path))
  errors.push(...validateScheduling(spec, path))
  errors.push(...validateNames(spec, path))
  errors.push(...validateDns(spec, path))
  errors.push(...validateAliases(spec, path.child('hostAliases')))
  for (const [i, gate] of (spec.readinessGates ?? []).entries()) {
    errors.push(
      ...check(
        path.child('readinessGates').index(i).child('conditionType'),
        gate.conditionType,
        qualifiedName,
      ),
    )
  }
  const active = spec.activeDeadlineSeconds
  if (active !== undefined && (active < 1 || active > MAX_INT32)) {
    errors.push(
      invalidValue(
        path.child('activeDeadlineSeconds'),
        active,
        `must be between 1 and ${MAX_INT32}, inclusive`,
      ),
    )
  }
  for (const [name, quantity] of Object.entries(spec.overhead ?? {})) {
    const at = path.child('overhead', 'limits').key(name)
    errors.push(...checkContainerResourceName(name, at), ...checkQuantity(name, quantity, at))
  }
  errors.push(...validateOs(spec, path))
  return errors
}

function validateNames(spec: PodSpec, path: FieldPath): readonly FieldError[] {
  const subdomains = [
    'serviceAccountName',
    'nodeName',
    'priorityClassName',
    'runtimeClassName',
  ] as const
  const labels = ['hostname', 'subdomain'] as const
  const errors: FieldError[] = []
  for (const name of subdomains) {
    const value = spec[name] ?? ''
    if (value !== '') errors.push(...check(path.child(name), value, dnsSubdomain))
  }
  for (const name of labels) {
    const value = spec[name] ?? ''
    if (value !== '') errors.push(...check(path.child(name), value, dnsLabel))
  }
  return [...errors, ...validateHostnameOverride(spec, path)]
}

/** What a kernel takes for a host name. */
const MAX_HOSTNAME = 64

/** The name that the pod itself has (KEP-4762): others still find it by its hostname and subdomain. */
function validateHostnameOverride(
  { hostnameOverride, hostNetwork, setHostnameAsFQDN }: PodSpec,
  path: FieldPath,
): readonly FieldError[] {
  if (hostnameOverride === undefined) return []
  const at = path.child('hostnameOverride')
  const not = (field: string): FieldError =>
    forbiddenField(at, `may not be specified when ${field} is true`)
  return [
    ...(setHostnameAsFQDN === true ? [not('setHostnameAsFQDN')] : []),
    ...(hostNetwork === true ? [not('hostNetwork')] : []),
    ...(hostnameOverride.length > MAX_HOSTNAME ? [tooLong(at, MAX_HOSTNAME)] : []),
    ...check(at, hostnameOverride, dnsSubdomain),
  ]
}

const MAX_NAMESERVERS = 3
const MAX_SEARCHES = 32
const MAX_SEARCH_LENGTH = 2048

function validateDns({ dnsPolicy, dnsConfig }: PodSpec, path: FieldPath): readonly FieldError[] {
  const at = path.child('dnsConfig')
  const nameservers = dnsConfig?.nameservers ?? []
  const searches = dnsConfig?.searches ?? []
  const errors: FieldError[] = []
  if (dnsPolicy === 'None') {
    if (dnsConfig === undefined) {
      return [required(at, 'must provide `dnsConfig` when `dnsPolicy` is None')]
    }
    if (nameservers.length === 0) {
      return [
        required(
          at.child('nameservers'),
          'must provide at least one DNS nameserver when `dnsPolicy` is None',
        ),
      ]
    }
  }
  if (nameservers.length > MAX_NAMESERVERS) {
    errors.push(
      invalidValue(
        at.child('nameservers'),
        nameservers,
        `must not have more than ${MAX_NAMESERVERS} nameservers`,
      ),
    )
  }
  for (const [i, address] of nameservers.entries()) {
    errors.push(...check(at.child('nameservers').index(i), address, ipAddress))
  }
  if (searches.length > MAX_SEARCHES) {
    errors.push(
      invalidValue(
        at.child('searches'),
        searches,
        `must not have more than ${MAX_SEARCHES} search paths`,
      ),
    )
  }
  if (searches.join(' ').length > MAX_SEARCH_LENGTH) {
    errors.push(
      invalidValue(
        at.child('searches'),
        searches,
        `must not have more than ${MAX_SEARCH_LENGTH} characters (including spaces) in the search list`,
      ),
    )
  }
  for (const [i, search] of searches.entries()) {
    if (search === '.') continue
    const domain = search.replace(/\.$/, '')
    errors.push(...check(at.child('searches').index(i), domain, dnsSubdomainWithUnderscore))
  }
  for (const [i, option] of (dnsConfig?.options ?? []).entries()) {
    if ((option.name ?? '') === '') {
      errors.push(required(at.child('options').index(i), 'must not be empty'))
    }
  }
  return errors
}

function validateAliases({ hostAliases = [] }: PodSpec, path: FieldPath): readonly FieldError[] {
  const errors: FieldError[] = []
  for (const [i, { ip, hostnames = [] }] of hostAliases.entries()) {
    const at = path.index(i)
    errors.push(...check(at.child('ip'), ip, ipAddress))
    for (const [j, name] of hostnames.entries()) {
      errors.push(...check(at.child('hostnames').index(j), name, dnsSubdomain))
    }
  }
  return errors
}
