/** Who each controller is to the API server: a service account of kube-system, whose role is upstream's. */
import type { RequestUser } from '#machinery'

/** Where upstream's name is not ours with `-controller`. */
const ACCOUNTS: Readonly<Record<string, string>> = {
  certificates: 'certificate-controller',
  daemonset: 'daemon-set-controller',
  'endpointslice-mirroring': 'endpointslicemirroring-controller',
  'garbage-collector': 'generic-garbage-collector',
  'horizontal-pod-autoscaler': 'horizontal-pod-autoscaler',
  'job-pod-finalizer': 'job-controller',
  'node-ipam': 'node-controller',
  'node-lifecycle': 'node-controller',
  'persistent-volume-claim-binder': 'persistent-volume-binder',
  'persistent-volume-phase': 'persistent-volume-binder',
  'pod-garbage-collector': 'pod-garbage-collector',
  replicationcontroller: 'replication-controller',
  'resource-quota': 'resourcequota-controller',
  'root-ca-certificate-publisher': 'root-ca-cert-publisher',
  'service-cidr': 'service-cidrs-controller',
  serviceaccount: 'service-account-controller',
  'taint-eviction-controller': 'taint-eviction-controller',
  'vac-protection': 'volumeattributesclass-protection-controller',
}

const NAMESPACE = 'kube-system'

export function identityOf(controller: string): RequestUser {
  // Upstream the API server itself keeps the addresses of Services, and no role is made for that.
  if (controller === 'ip-address')
    return { name: 'system:apiserver', groups: ['system:masters', 'system:authenticated'] }
  // Upstream's controller of token Secrets has no account: it is what makes them.
  if (controller === 'service-account-token')
    return { name: 'system:kube-controller-manager', groups: ['system:authenticated'] }
  const account = ACCOUNTS[controller] ?? `${controller}-controller`
  return {
    name: `system:serviceaccount:${NAMESPACE}:${account}`,
    groups: [
      'system:serviceaccounts',
      `system:serviceaccounts:${NAMESPACE}`,
      'system:authenticated',
    ],
  }
}
