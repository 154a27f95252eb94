/** The built-in admission plugins, in upstream's order. */
import type { Env } from '#base'
import type { Authorizer } from '../access.ts'
import type { AdmissionPlugin } from '../admission.ts'
import { apiServerUser } from '../auth/index.ts'
import type { ServerInside } from '../server.ts'
import type { CallWebhook } from '../webhook-client/index.ts'
import {
  defaultIngressClass,
  defaultStorageClass,
  persistentVolumeClaimResize,
  storageObjectInUseProtection,
  taintNodesByCondition,
} from './defaults.ts'
import { limitRanger } from './limit-ranger.ts'
import { namespaceLifecycle } from './namespace-lifecycle.ts'
import { nodeRestriction } from './node-restriction.ts'
import {
  certificateApproval,
  certificateSigning,
  certificateSubjectRestriction,
  clusterTrustBundleAttest,
  ownerReferencesPermissionEnforcement,
} from './permissions.ts'
import { podSecurity, type PodSecurityOptions } from './pod-security.ts'
import { podTopologyLabels } from './pod-topology-labels.ts'
import { defaultTolerationSeconds, priority, runtimeClass } from './pods.ts'
import { mutatingPolicies } from './policies/mutating.ts'
import { validatingPolicies } from './policies/validating.ts'
import { resourceQuota } from './resource-quota.ts'
import { serviceAccountAdmission } from './service-account.ts'
import { mutatingWebhooks, validatingWebhooks } from './webhooks/index.ts'

export interface AdmissionOptions {
  readonly env: Pick<Env, 'clock' | 'random' | 'log' | 'metrics'>
  /** How webhooks are reached; without it there are none. */
  readonly callWebhook?: CallWebhook
  readonly authorizer: Authorizer
  readonly podSecurity?: PodSecurityOptions
  /** Names of plugins that are off by default upstream. */
  readonly enable?: readonly string[]
  readonly disable?: readonly string[]
  /** What is asked last: `accessControl().escalationCheck`. */
  readonly last?: readonly AdmissionPlugin[]
}

const OFF_BY_DEFAULT: readonly string[] = ['OwnerReferencesPermissionEnforcement']

export function builtInAdmission(
  inside: ServerInside,
  { env, authorizer, enable = [], disable = [], last = [], ...options }: AdmissionOptions,
): readonly AdmissionPlugin[] {
  const { read } = inside
  const plugins: readonly AdmissionPlugin[] = [
    namespaceLifecycle(read),
    limitRanger(read),
    serviceAccountAdmission(read, env.random),
    nodeRestriction(read),
    taintNodesByCondition,
    podSecurity(read, options.podSecurity),
    priority(read),
    defaultTolerationSeconds,
    defaultStorageClass(read),
    storageObjectInUseProtection,
    ownerReferencesPermissionEnforcement(authorizer, inside),
    persistentVolumeClaimResize(read),
    runtimeClass(read),
    certificateApproval(authorizer),
    certificateSigning(authorizer),
    clusterTrustBundleAttest(authorizer),
    certificateSubjectRestriction,
    defaultIngressClass(read),
    podTopologyLabels(read),
    ...dynamicAdmission(inside, { env, authorizer, ...options }),
    resourceQuota(read, inside.transport(apiServerUser)),
    ...last,
  ]
  return plugins.filter(
    ({ name }) =>
      !disable.includes(name) && (!OFF_BY_DEFAULT.includes(name) || enable.includes(name)),
  )
}

/** What is asked after the built-in plugins, and before quota is counted. */
function dynamicAdmission(
  inside: ServerInside,
  { env, authorizer, callWebhook: call }: AdmissionOptions,
): readonly AdmissionPlugin[] {
  const policies = { inside, authorizer, env }
  const webhooks = call && { inside, env, authorizer, call }
  return [
    mutatingPolicies(policies),
    ...(webhooks === undefined ? [] : [mutatingWebhooks(webhooks)]),
    validatingPolicies(policies),
    ...(webhooks === undefined ? [] : [validatingWebhooks(webhooks)]),
  ]
}

export type { PodSecurityOptions }
