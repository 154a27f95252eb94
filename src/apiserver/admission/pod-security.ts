import {
  namespaces,
  type Namespace,
  type Pod,
  type PodSpec,
  pods as podsResource,
  type PodTemplateSpec,
} from '#api'
import type { ObjectMeta } from '#machinery'
import { FieldPath, forbidden, invalid, invalidValue, type FieldError } from '#machinery'
import type { AdmissionPlugin, AdmissionRequest } from '../admission.ts'
import { isLevel, isVersion, LEVELS } from './pod-security/policy.ts'
import { violations, type Level, type Policy } from './pod-security/violations.ts'
import { nameOf, objectOf, qualifiedResource, resourceOf, type AdmissionLookups } from './words.ts'

const LABEL = 'pod-security.kubernetes.io/'
const NO_LABELS: Readonly<Record<string, string>> = {}
const PRIVILEGED: Policy = { level: 'privileged', version: 'latest' }
/** How many pods of a namespace are looked at when its level is raised. */
const PODS_LOOKED_AT = 3000

export interface PodSecurityOptions {
  /** What namespaces without labels get. Default: privileged. */
  readonly defaults?: { readonly enforce?: Policy; readonly audit?: Policy; readonly warn?: Policy }
  readonly exempt?: {
    readonly usernames?: readonly string[]
    readonly namespaces?: readonly string[]
    readonly runtimeClasses?: readonly string[]
  }
}

interface Policies {
  readonly enforce: Policy
  readonly audit: Policy
  readonly warn: Policy
}

/** Where the pod specification is, in resources that make pods. */
const TEMPLATES: Readonly<Record<string, readonly string[]>> = {
  podtemplates: ['template'],
  replicationcontrollers: ['spec', 'template'],
  'replicasets.apps': ['spec', 'template'],
  'deployments.apps': ['spec', 'template'],
  'statefulsets.apps': ['spec', 'template'],
  'daemonsets.apps': ['spec', 'template'],
  'jobs.batch': ['spec', 'template'],
  'cronjobs.batch': ['spec', 'jobTemplate', 'spec', 'template'],
}

/** The Pod Security Standards, as the labels of the namespace ask for them. */
export function podSecurity(
  read: AdmissionLookups,
  { defaults = {}, exempt = {} }: PodSecurityOptions = {},
): AdmissionPlugin {
  const known = new WeakMap<object, Policies>()
  const policiesOf = (labels: Readonly<Record<string, string>> = NO_LABELS): Policies => {
    let policies = known.get(labels)
    if (policies === undefined) known.set(labels, (policies = policiesIn(labels)))
    return policies
  }
  const policiesIn = (labels: Readonly<Record<string, string>>): Policies => {
    const of = (mode: string, fallback: Policy): Policy => {
      const { policy } = parsePolicy(labels, mode, fallback)
      return policy
    }
    const enforce = of('enforce', defaults.enforce ?? PRIVILEGED)
    return {
      enforce,
      audit: of('audit', defaults.audit ?? PRIVILEGED),
      // Who states only what is enforced is warned of it where it is not enforced yet: on what makes pods.
      warn: of(
        'warn',
        labels[`${LABEL}enforce`] === undefined ? (defaults.warn ?? PRIVILEGED) : enforce,
      ),
    }
  }

  const checkNamespace = (request: AdmissionRequest): void => {
    if (request.subresource !== '' || request.object === undefined) return
    const wanted = objectOf<Namespace>(request) as unknown as Namespace
    const old = request.old as Namespace | undefined
    const labels = wanted.metadata.labels ?? {}
    const errors = labelErrors(labels)
    if (request.operation === 'CREATE') {
      if (errors.length > 0) throw invalidNamespace(wanted.metadata.name, errors)
      return
    }
    const before = old?.metadata.labels ?? {}
    if (errors.length > 0) {
      if (labelErrors(before).length === 0) throw invalidNamespace(wanted.metadata.name, errors)
      return
    }
    const { enforce } = policiesOf(labels)
    const was = policiesOf(before).enforce
    if (enforce.level === 'privileged') return
    if (was.level === enforce.level && was.version === enforce.version) return
    if (was.level === 'restricted' && enforce.level === 'baseline') return
    if (exempt.namespaces?.includes(wanted.metadata.name)) return
    for (const text of violatingPods(read, wanted.metadata.name, enforce, exempt.runtimeClasses))
      request.warn(text)
  }

  const checkPod = (request: AdmissionRequest): void => {
    const pod = objectOf<Pod>(request) as unknown as Pod
    const old = request.old as Pod | undefined
    if (old !== undefined && request.subresource === '' && !isSignificant(pod, old)) return
    const labels = read.get(namespaces, '', request.namespace)?.metadata.labels
    const { enforce, audit, warn } = policiesOf(labels)
    if (isExempt(request, pod.spec)) return
    request.annotate(`${LABEL}enforce-policy`, show(enforce))
    auditOf(request, audit, pod.metadata, pod.spec)
    const found = violations(enforce, pod.metadata, pod.spec ?? { containers: [] })
    if (found !== '')
      throw forbidden(
        resourceOf(request),
        nameOf(request),
        `violates PodSecurity "${show(enforce)}": ${found}`,
      )
    warnOf(request, warn, pod.metadata, pod.spec)
  }

  const checkTemplate = (request: AdmissionRequest, path: readonly string[]): void => {
    const template = at(request.object, path) as PodTemplateSpec | undefined
    if (template?.spec === undefined || isExempt(request, template.spec)) return
    const labels = read.get(namespaces, '', request.namespace)?.metadata.labels
    const { audit, warn } = policiesOf(labels)
    auditOf(request, audit, template.metadata, template.spec)
    warnOf(request, warn, template.metadata, template.spec)
  }

  const isExempt = (request: AdmissionRequest, spec: PodSpec | undefined): boolean => {
    const why = exempt.namespaces?.includes(request.namespace)
      ? 'namespace'
      : exempt.usernames?.includes(request.user.name)
        ? 'user'
        : spec?.runtimeClassName !== undefined &&
            exempt.runtimeClasses?.includes(spec.runtimeClassName)
          ? 'runtimeClass'
          : undefined
    if (why !== undefined) request.annotate(`${LABEL}exempt`, why)
    return why !== undefined
  }

  return {
    name: 'PodSecurity',
    handles({ operation, subresource, definition: { facts } }) {
      if (operation !== 'CREATE' && operation !== 'UPDATE') return false
      const resource = facts.group === '' ? facts.resource : `${facts.resource}.${facts.group}`
      if (resource === 'pods') return subresource === '' || subresource === 'ephemeralcontainers'
      return subresource === '' && (resource === 'namespaces' || TEMPLATES[resource] !== undefined)
    },
    validate(request) {
      const resource = qualifiedResource(request)
      if (resource === 'namespaces') checkNamespace(request)
      else if (resource === 'pods') checkPod(request)
      else checkTemplate(request, TEMPLATES[resource] ?? [])
    },
  }
}

const show = ({ level, version }: Policy): string => `${level}:${version}`

/** What is wrong under a policy that refuses nothing; undefined when all is well. */
function complaint(
  policy: Policy,
  metadata: Partial<ObjectMeta> | undefined,
  spec: PodSpec | undefined,
): string | undefined {
  const found = violations(policy, metadata ?? {}, spec ?? { containers: [] })
  return found === '' ? undefined : `would violate PodSecurity "${show(policy)}": ${found}`
}

function warnOf(request: AdmissionRequest, ...about: Parameters<typeof complaint>): void {
  const text = complaint(...about)
  if (text !== undefined) request.warn(text)
}

/** What would be refused is noted where only the auditor is to know of it. */
function auditOf(request: AdmissionRequest, ...about: Parameters<typeof complaint>): void {
  const text = complaint(...about)
  if (text !== undefined) request.annotate(`${LABEL}audit-violations`, text)
}

const at = (object: unknown, path: readonly string[]): unknown =>
  path.reduce<unknown>(
    (value, key) => (value as Readonly<Record<string, unknown>> | undefined)?.[key],
    object,
  )

function parsePolicy(
  labels: Readonly<Record<string, string>>,
  mode: string,
  fallback: Policy,
): { readonly policy: Policy; readonly errors: readonly FieldError[] } {
  const levelKey = `${LABEL}${mode}`
  const versionKey = `${LABEL}${mode}-version`
  const level = labels[levelKey]
  const version = labels[versionKey]
  const path = FieldPath.of('metadata', 'labels')
  const levelIsBad = level !== undefined && !isLevel(level)
  const versionIsBad = version !== undefined && !isVersion(version)
  return {
    policy: {
      // What cannot be read is taken at its strictest, where it refuses something.
      level: levelIsBad
        ? mode === 'enforce'
          ? 'restricted'
          : 'privileged'
        : ((level as Level | undefined) ?? fallback.level),
      version: versionIsBad
        ? 'latest'
        : (version ?? (level === undefined ? fallback.version : 'latest')),
    },
    errors: [
      ...(levelIsBad
        ? [invalidValue(path.key(levelKey), level, `must be one of ${LEVELS.join(', ')}`)]
        : []),
      ...(versionIsBad
        ? [invalidValue(path.key(versionKey), version, 'must be "latest" or "v1.x"')]
        : []),
    ],
  }
}

const labelErrors = (labels: Readonly<Record<string, string>>): readonly FieldError[] =>
  ['enforce', 'audit', 'warn'].flatMap((mode) => parsePolicy(labels, mode, PRIVILEGED).errors)

const invalidNamespace = (name: string, errors: readonly FieldError[]): Error =>
  invalid({ group: '', kind: 'Namespace' }, name, errors)

function violatingPods(
  read: AdmissionLookups,
  namespace: string,
  policy: Policy,
  exemptRuntimeClasses: readonly string[] = [],
): readonly string[] {
  const byViolation = new Map<string, string[]>()
  const all = read.list(podsResource, namespace)
  for (const pod of all.slice(0, PODS_LOOKED_AT)) {
    if (exemptRuntimeClasses.includes(pod.spec?.runtimeClassName ?? '')) continue
    const found = violations(policy, pod.metadata, pod.spec ?? { containers: [] }, { short: true })
    if (found === '') continue
    byViolation.set(found, [...(byViolation.get(found) ?? []), pod.metadata.name])
  }
  if (byViolation.size === 0) return []
  const lines = [...byViolation].map(([found, names]) => {
    const more = names.length - 1
    const others = more === 0 ? '' : ` (and ${more} other pod${more === 1 ? '' : 's'})`
    return `${names.toSorted()[0]}${others}: ${found}`
  })
  return [
    `existing pods in namespace "${namespace}" violate the new PodSecurity enforce level "${show(policy)}"`,
    ...lines.toSorted(),
  ]
}

/** Updates that change nothing that is checked are let through, so that pods from before can still be touched. */
function isSignificant(pod: Pod, old: Pod): boolean {
  const security = ({ metadata, spec }: Pod): unknown => [
    Object.entries(metadata.annotations ?? {}).filter(
      ([key]) =>
        key.startsWith('container.apparmor.security.beta.kubernetes.io/') ||
        key.includes('seccomp.security.alpha.kubernetes.io'),
    ),
    [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])].map(({ image, ...rest }) => [
      image,
      rest.securityContext,
    ]),
    (spec?.ephemeralContainers ?? []).map(({ image, securityContext }) => [image, securityContext]),
  ]
  return JSON.stringify(security(pod)) !== JSON.stringify(security(old))
}
