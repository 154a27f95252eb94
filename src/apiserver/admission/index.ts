/** The built-in admission plugins, in upstream's order. */
import type { Env } from '#base'
import type { Authorizer } from '../access.ts'
import type { AdmissionPlugin } from '../admission.ts'
import { apiServerUser } from '../auth/index.ts'
import type { ServerInside } from '../inside.ts'
import type { CallWebhook } from '../webhook-client/index.ts'
import {
  defaultIngressClass,
  defaultStorageClass,
  persistentVolumeClaimResize,
  storageObjectInUseProtection,
  taintNodesByCondition,
} from './defaults.ts'
import { limitRanger } from './limit-ranger.ts'
import { isChosen } from './names.ts'
import { namespaceLifecycle } from './namespace-lifecycle.ts'
import { nodeRestriction } from './node-restriction.ts'
import {
  certificateApproval,
  certificateSigning,
  certificateSubjectRestriction,
  clusterTrustBundleAttest,
  ownerReferencesPermissionEnforcement,
} from './permissions.ts'
import type { OpenedAdmission } from './open.ts'
import { eventRateLimit } from './optional/event-rate-limit.ts'
import {
  denyServiceExternalIPs,
  namespaceAutoProvision,
  namespaceExists,
} from './optional/namespaces.ts'
import { podNodeSelector } from './optional/pod-node-selector.ts'
import { podTolerationRestriction } from './optional/pod-tolerations.ts'
import {
  alwaysPullImages,
  extendedResourceToleration,
  limitPodHardAntiAffinityTopology,
} from './optional/pods.ts'
import { podSecurity } from './pod-security.ts'
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
  /** Which plugins run, and what they are told. Default: those of a stock cluster. */
  readonly chosen?: OpenedAdmission
  /** What is asked last: `accessControl().escalationCheck`. */
  readonly last?: readonly AdmissionPlugin[]
}

/** All plugins that are built in and chosen, in upstream's order. */
export function builtInAdmission(
  inside: ServerInside,
  { env, authorizer, chosen = STOCK, last = [], ...options }: AdmissionOptions,
): readonly AdmissionPlugin[] {
  const { read } = inside
  const { podSecurity: standards, nodeSelectors, tolerations, eventLimits } = chosen.configuration
  const own = inside.transport(apiServerUser)
  const plugins: readonly AdmissionPlugin[] = [
    namespaceAutoProvision(read, own),
    namespaceLifecycle(read),
    namespaceExists(read),
    limitPodHardAntiAffinityTopology,
    limitRanger(read),
    serviceAccountAdmission(read, env),
    nodeRestriction(read),
    taintNodesByCondition,
    alwaysPullImages,
    podSecurity(read, standards),
    podNodeSelector(read, nodeSelectors),
    priority(read),
    defaultTolerationSeconds,
    podTolerationRestriction(read, tolerations),
    eventRateLimit(eventLimits ?? [], env.clock),
    extendedResourceToleration,
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
    denyServiceExternalIPs,
    podTopologyLabels(read),
    ...dynamicAdmission(inside, { env, authorizer, ...options }),
    resourceQuota(read, own),
    ...last,
  ]
  return plugins.filter(({ name }) => isChosen(name, chosen))
}

const STOCK: OpenedAdmission = { configuration: {} }

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
