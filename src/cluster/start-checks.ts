/** What every client may rely on once the server says that it is healthy: what a cluster begins with. */
import {
  clusterRoleBindings,
  clusterRoles,
  configMaps,
  flowSchemas,
  namespaces,
  priorityClasses,
  serviceCIDRs,
  services,
} from '#api'
import type { Reader } from '#apiserver'
import type { ResourceRef } from '#machinery'

type Wanted = readonly [ref: ResourceRef, namespace: string, ...names: string[]]

const WANTED: Readonly<Record<string, readonly Wanted[]>> = {
  'start-system-namespaces-controller': [
    [namespaces, '', 'default', 'kube-system', 'kube-public', 'kube-node-lease'],
  ],
  'bootstrap-controller': [[services, 'default', 'kubernetes']],
  'start-kubernetes-service-cidr-controller': [[serviceCIDRs, '', 'kubernetes']],
  'start-cluster-authentication-info-controller': [
    [configMaps, 'kube-system', 'extension-apiserver-authentication'],
  ],
  'start-legacy-token-tracking-controller': [
    [configMaps, 'kube-system', 'kube-apiserver-legacy-service-account-token-tracking'],
  ],
  'rbac/bootstrap-roles': [
    [clusterRoles, '', 'cluster-admin'],
    [clusterRoleBindings, '', 'cluster-admin'],
  ],
  'scheduling/bootstrap-system-priority-classes': [
    [priorityClasses, '', 'system-cluster-critical', 'system-node-critical'],
  ],
  'priority-and-fairness-config-producer': [[flowSchemas, '', 'exempt', 'catch-all']],
}

/** By the names of kube-apiserver's hooks that make these objects. */
export const clusterStartChecks = (read: () => Reader): Readonly<Record<string, () => boolean>> =>
  Object.fromEntries(
    Object.entries(WANTED).map(([hook, wanted]) => [
      hook,
      () =>
        wanted.every(([ref, namespace, ...names]) =>
          names.every((name) => read().get(ref, namespace, name) !== undefined),
        ),
    ]),
  )
