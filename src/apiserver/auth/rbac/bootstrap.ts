/** The roles and bindings that every cluster begins with, under upstream's names, as data. */
import type {
  ClusterRole,
  ClusterRoleBinding,
  PolicyRule,
  RbacV1Subject as Subject,
  Role,
  RoleBinding,
} from '#api'
import type { Draft } from '#machinery'
import { aggregatedRules } from './aggregation.ts'
import { controllerRoles } from './bootstrap-controllers.ts'
import { READ, WRITE, READ_WRITE, READ_UPDATE, events, on, url } from './rule-words.ts'

const DISCOVERY = '/livez /readyz /healthz /version /version/'

/** What a kubelet may do; the node authorizer narrows it to what concerns the node. */
export const nodeRules: readonly PolicyRule[] = [
  on('create', 'authentication.k8s.io', 'tokenreviews'),
  on('create', 'authorization.k8s.io', 'subjectaccessreviews localsubjectaccessreviews'),
  on(READ, '', 'services'),
  on('create get list watch', '', 'nodes'),
  on('update patch', '', 'nodes/status'),
  on('update patch', '', 'nodes'),
  on('create update patch', '', 'events'),
  on(READ, '', 'pods'),
  on('create delete', '', 'pods'),
  on('update patch', '', 'pods/status'),
  on('create', '', 'pods/eviction'),
  on(READ, '', 'secrets configmaps'),
  on('get', '', 'persistentvolumeclaims persistentvolumes'),
  on('get', '', 'endpoints'),
  on('create get list watch', 'certificates.k8s.io', 'certificatesigningrequests'),
  on('get create update patch delete', 'coordination.k8s.io', 'leases'),
  on('get', 'storage.k8s.io', 'volumeattachments'),
  on('create', '', 'serviceaccounts/token'),
  on('get update patch', '', 'persistentvolumeclaims/status'),
  on(READ, 'storage.k8s.io', 'csidrivers'),
  on('get create update patch delete', 'storage.k8s.io', 'csinodes'),
  on(READ, 'node.k8s.io', 'runtimeclasses'),
  on('get', 'resource.k8s.io', 'resourceclaims'),
  on('deletecollection', 'resource.k8s.io', 'resourceslices'),
  on(READ, 'certificates.k8s.io', 'clustertrustbundles'),
  on('get', '', 'serviceaccounts'),
  on('create get list watch', 'certificates.k8s.io', 'podcertificaterequests'),
]

const toEdit: readonly PolicyRule[] = [
  on(READ, '', 'pods/attach pods/proxy pods/exec pods/portforward secrets services/proxy'),
  on('impersonate', '', 'serviceaccounts'),
  on(WRITE, '', 'pods pods/attach pods/proxy pods/exec pods/portforward'),
  on('create', '', 'pods/eviction'),
  on(
    WRITE,
    '',
    'replicationcontrollers replicationcontrollers/scale serviceaccounts services services/proxy persistentvolumeclaims configmaps secrets events',
  ),
  on('create', '', 'serviceaccounts/token'),
  on(
    WRITE,
    'apps',
    'statefulsets statefulsets/scale daemonsets deployments deployments/scale deployments/rollback replicasets replicasets/scale',
  ),
  on(WRITE, 'autoscaling', 'horizontalpodautoscalers'),
  on(WRITE, 'batch', 'jobs cronjobs'),
  on(
    WRITE,
    'extensions',
    'daemonsets deployments deployments/scale deployments/rollback ingresses replicasets replicasets/scale replicationcontrollers/scale networkpolicies',
  ),
  on(WRITE, 'policy', 'poddisruptionbudgets'),
  on(WRITE, 'networking.k8s.io', 'networkpolicies ingresses'),
  on(READ_WRITE, 'coordination.k8s.io', 'leases'),
  on(WRITE, 'resource.k8s.io', 'resourceclaims resourceclaimtemplates'),
]

const toView: readonly PolicyRule[] = [
  on(
    READ,
    '',
    'pods replicationcontrollers replicationcontrollers/scale serviceaccounts services services/status endpoints persistentvolumeclaims persistentvolumeclaims/status configmaps',
  ),
  on(
    READ,
    '',
    'limitranges resourcequotas bindings events pods/status resourcequotas/status namespaces/status replicationcontrollers/status pods/log',
  ),
  on(READ, '', 'namespaces'),
  on(READ, 'discovery.k8s.io', 'endpointslices'),
  on(
    READ,
    'apps',
    'controllerrevisions statefulsets statefulsets/status statefulsets/scale daemonsets daemonsets/status deployments deployments/status deployments/scale replicasets replicasets/status replicasets/scale',
  ),
  on(READ, 'autoscaling', 'horizontalpodautoscalers horizontalpodautoscalers/status'),
  on(READ, 'batch', 'jobs cronjobs cronjobs/status jobs/status'),
  on(
    READ,
    'extensions',
    'daemonsets daemonsets/status deployments deployments/scale deployments/status ingresses ingresses/status replicasets replicasets/scale replicasets/status replicationcontrollers/scale networkpolicies',
  ),
  on(READ, 'policy', 'poddisruptionbudgets poddisruptionbudgets/status'),
  on(READ, 'networking.k8s.io', 'networkpolicies ingresses ingresses/status'),
  on(READ, 'resource.k8s.io', 'resourceclaims resourceclaims/status resourceclaimtemplates'),
]

const approve = (signer: string): readonly PolicyRule[] => [
  on('approve', 'certificates.k8s.io', 'signers', signer),
]

/** Rules by role. */
const clusterRoleRules: Readonly<Record<string, readonly PolicyRule[]>> = {
  'cluster-admin': [on('*', '*', '*'), url('*', '*')],
  'system:discovery': [url('get', `${DISCOVERY} /openapi /openapi/* /api /api/* /apis /apis/*`)],
  'system:monitoring': [
    url('get', '/metrics /metrics/slis /livez /readyz /healthz /livez/* /readyz/* /healthz/*'),
    url('get', '/flagz'),
    url('get', '/statusz'),
  ],
  'system:basic-user': [
    on('create', 'authorization.k8s.io', 'selfsubjectaccessreviews selfsubjectrulesreviews'),
    on('create', 'authentication.k8s.io', 'selfsubjectreviews'),
  ],
  'system:public-info-viewer': [url('get', DISCOVERY)],
  'system:aggregate-to-admin': [
    on('create', 'authorization.k8s.io', 'localsubjectaccessreviews'),
    on(READ_WRITE, 'rbac.authorization.k8s.io', 'roles rolebindings'),
  ],
  'system:aggregate-to-edit': toEdit,
  'system:aggregate-to-view': toView,
  // What the usual metrics server brings: whoever may look at pods may look at what they use.
  'system:aggregated-metrics-reader': [on(READ, 'metrics.k8s.io', 'pods nodes')],
  'system:heapster': [
    on(READ, '', 'events pods nodes namespaces'),
    on(READ, 'extensions', 'deployments'),
  ],
  'system:node': nodeRules,
  'system:node-problem-detector': [on('get', '', 'nodes'), on('patch', '', 'nodes/status'), events],
  'system:kubelet-api-admin': [
    on(READ, '', 'nodes'),
    on('proxy', '', 'nodes'),
    on('*', '', 'nodes/log nodes/metrics nodes/proxy nodes/stats'),
    on('*', '', 'nodes/configz nodes/healthz nodes/pods'),
  ],
  'system:node-bootstrapper': [
    on('create get list watch', 'certificates.k8s.io', 'certificatesigningrequests'),
  ],
  'system:auth-delegator': [
    on('create', 'authentication.k8s.io', 'tokenreviews'),
    on('create', 'authorization.k8s.io', 'subjectaccessreviews'),
  ],
  'system:kube-aggregator': [
    on(READ, '', 'services endpoints'),
    on(READ, 'discovery.k8s.io', 'endpointslices'),
  ],
  'system:kube-controller-manager': [
    events,
    on('create', 'coordination.k8s.io', 'leases'),
    on('get update', 'coordination.k8s.io', 'leases', 'kube-controller-manager'),
    on('create', '', 'secrets serviceaccounts'),
    on('delete', '', 'secrets'),
    on('get', '', 'namespaces secrets serviceaccounts configmaps'),
    on('update', '', 'secrets serviceaccounts'),
    on('create', 'authentication.k8s.io', 'tokenreviews'),
    on('create', 'authorization.k8s.io', 'subjectaccessreviews'),
    on('list watch', '*', '*'),
    on('create', '', 'serviceaccounts/token'),
  ],
  'system:kube-scheduler': [
    events,
    on('create', 'coordination.k8s.io', 'leases'),
    on('get update', 'coordination.k8s.io', 'leases', 'kube-scheduler'),
    on(READ, '', 'nodes'),
    on('get list watch delete', '', 'pods'),
    on('create', '', 'bindings pods/binding'),
    on('patch update', '', 'pods/status'),
    on(READ, '', 'services replicationcontrollers'),
    on(READ, 'apps extensions', 'replicasets'),
    on(READ, 'apps', 'statefulsets'),
    on(READ, 'policy', 'poddisruptionbudgets'),
    on(READ, '', 'persistentvolumeclaims persistentvolumes'),
    on('create', 'authentication.k8s.io', 'tokenreviews'),
    on('create', 'authorization.k8s.io', 'subjectaccessreviews'),
    on(READ, 'storage.k8s.io', 'csinodes'),
    on(READ, 'storage.k8s.io', 'volumeattachments'),
    on(READ, '', 'namespaces'),
    on(READ, 'storage.k8s.io', 'csidrivers'),
    on(READ, 'storage.k8s.io', 'csistoragecapacities'),
    on(READ, 'resource.k8s.io', 'deviceclasses'),
    on(READ_UPDATE, 'resource.k8s.io', 'resourceclaims'),
    on(READ_UPDATE, 'resource.k8s.io', 'resourceclaims/status'),
    on(READ_UPDATE, '', 'pods/finalizers'),
    on(READ, 'resource.k8s.io', 'resourceslices'),
    on('create delete', 'resource.k8s.io', 'resourceclaims'),
    on(READ, 'resource.k8s.io', 'devicetaintrules'),
  ],
  'system:volume-scheduler': [
    on(READ_UPDATE, '', 'persistentvolumes'),
    on(READ, 'storage.k8s.io', 'storageclasses'),
    on(READ_UPDATE, '', 'persistentvolumeclaims'),
  ],
  'system:kube-dns': [
    on('list watch', '', 'endpoints services'),
    on('list watch', 'discovery.k8s.io', 'endpointslices'),
  ],
  'system:persistent-volume-provisioner': [
    on('get list watch create delete', '', 'persistentvolumes'),
    on('get list watch update', '', 'persistentvolumeclaims'),
    on(READ, 'storage.k8s.io', 'storageclasses'),
    on('watch', '', 'events'),
    events,
  ],
  'system:node-proxier': [
    on('list watch', '', 'services endpoints'),
    on(READ, '', 'nodes'),
    events,
    on('list watch', 'networking.k8s.io', 'servicecidrs'),
    on('list watch', 'discovery.k8s.io', 'endpointslices'),
  ],
  'system:service-account-issuer-discovery': [
    url(
      'get',
      '/.well-known/openid-configuration /.well-known/openid-configuration/ /openid/v1/jwks /openid/v1/jwks/',
    ),
  ],
  'system:certificates.k8s.io:certificatesigningrequests:nodeclient': [
    on('create', 'certificates.k8s.io', 'certificatesigningrequests/nodeclient'),
  ],
  'system:certificates.k8s.io:certificatesigningrequests:selfnodeclient': [
    on('create', 'certificates.k8s.io', 'certificatesigningrequests/selfnodeclient'),
  ],
  'system:certificates.k8s.io:legacy-unknown-approver': approve('kubernetes.io/legacy-unknown'),
  'system:certificates.k8s.io:kubelet-serving-approver': approve('kubernetes.io/kubelet-serving'),
  'system:certificates.k8s.io:kube-apiserver-client-approver': approve(
    'kubernetes.io/kube-apiserver-client',
  ),
  'system:certificates.k8s.io:kube-apiserver-client-kubelet-approver': approve(
    'kubernetes.io/kube-apiserver-client-kubelet',
  ),
}

const AGGREGATE = 'rbac.authorization.k8s.io/aggregate-to-'
/** Labels by role: what the aggregated ones pick. */
const clusterRoleLabels: Readonly<Record<string, string | readonly string[]>> = {
  'system:aggregated-metrics-reader': [`${AGGREGATE}view`, `${AGGREGATE}edit`, `${AGGREGATE}admin`],
  'system:aggregate-to-admin': `${AGGREGATE}admin`,
  'system:aggregate-to-edit': `${AGGREGATE}edit`,
  'system:aggregate-to-view': `${AGGREGATE}view`,
  edit: `${AGGREGATE}admin`,
  view: `${AGGREGATE}edit`,
}

const user = (name: string): Subject => ({
  kind: 'User',
  apiGroup: 'rbac.authorization.k8s.io',
  name,
})
const group = (name: string): Subject => ({
  kind: 'Group',
  apiGroup: 'rbac.authorization.k8s.io',
  name,
})
const account = (name: string): Subject => ({
  kind: 'ServiceAccount',
  name,
  namespace: 'kube-system',
})

/** Subjects by cluster role; the binding has the role's name. */
const clusterRoleSubjects: Readonly<Record<string, readonly Subject[]>> = {
  'cluster-admin': [group('system:masters')],
  'system:monitoring': [group('system:monitoring')],
  'system:discovery': [group('system:authenticated')],
  'system:basic-user': [group('system:authenticated')],
  'system:public-info-viewer': [group('system:authenticated'), group('system:unauthenticated')],
  'system:node-proxier': [user('system:kube-proxy')],
  'system:kube-controller-manager': [user('system:kube-controller-manager')],
  'system:kube-dns': [account('kube-dns')],
  'system:kube-scheduler': [user('system:kube-scheduler')],
  'system:volume-scheduler': [user('system:kube-scheduler')],
  'system:service-account-issuer-discovery': [group('system:serviceaccounts')],
  'system:node': [],
}

interface NamespacedRole {
  readonly namespace: string
  readonly name: string
  readonly rules: readonly PolicyRule[]
  /** The binding; its name is the role's unless given. */
  readonly subjects: readonly Subject[]
  readonly bindingName?: string
}

const leaderLock = (name: string): NamespacedRole => ({
  namespace: 'kube-system',
  name: `system::leader-locking-${name}`,
  rules: [
    on('create get list update watch', 'coordination.k8s.io', 'leases'),
    on('create get list update watch', 'coordination.k8s.io', 'leasecandidates'),
  ],
  subjects: [account(name), user(`system:${name}`)],
})

const namespacedRoles: readonly NamespacedRole[] = [
  {
    namespace: 'kube-system',
    name: 'extension-apiserver-authentication-reader',
    rules: [on(READ, '', 'configmaps', 'extension-apiserver-authentication')],
    subjects: [user('system:kube-controller-manager'), user('system:kube-scheduler')],
    bindingName: 'system::extension-apiserver-authentication-reader',
  },
  {
    namespace: 'kube-system',
    name: 'system:controller:bootstrap-signer',
    rules: [on(READ, '', 'secrets')],
    subjects: [account('bootstrap-signer')],
  },
  {
    namespace: 'kube-system',
    name: 'system:controller:cloud-provider',
    rules: [on('create get list watch', '', 'configmaps')],
    subjects: [account('cloud-provider')],
  },
  {
    namespace: 'kube-system',
    name: 'system:controller:token-cleaner',
    rules: [on('get list watch delete', '', 'secrets'), events],
    subjects: [account('token-cleaner')],
  },
  leaderLock('kube-controller-manager'),
  leaderLock('kube-scheduler'),
  {
    namespace: 'kube-public',
    name: 'system:controller:bootstrap-signer',
    rules: [on(READ, '', 'configmaps'), on('update', '', 'configmaps', 'cluster-info'), events],
    subjects: [account('bootstrap-signer')],
  },
]

const API = 'rbac.authorization.k8s.io/v1'
const meta = (name: string, labels: Readonly<Record<string, string>> = {}, namespace?: string) => ({
  name,
  ...(namespace === undefined ? {} : { namespace }),
  labels: { 'kubernetes.io/bootstrapping': 'rbac-defaults', ...labels },
  annotations: { 'rbac.authorization.kubernetes.io/autoupdate': 'true' },
})
const labelsOf = (name: string): Readonly<Record<string, string>> => {
  const labels = [clusterRoleLabels[name] ?? []].flat()
  return Object.fromEntries(labels.map((label) => [label, 'true']))
}
const roleRef = (kind: 'ClusterRole' | 'Role', name: string) => ({
  apiGroup: 'rbac.authorization.k8s.io',
  kind,
  name,
})

const plainClusterRoles: readonly Draft<ClusterRole>[] = Object.entries({
  ...clusterRoleRules,
  ...controllerRoles,
}).map(([name, rules]) => ({
  apiVersion: API,
  kind: 'ClusterRole',
  metadata: meta(name, labelsOf(name)),
  rules,
}))

/** With the rules they will come to have, so that they need no second write. */
const aggregatedRoles = ['view', 'edit', 'admin'].reduce<readonly Draft<ClusterRole>[]>(
  (made, name) => {
    const role: Draft<ClusterRole> = {
      apiVersion: API,
      kind: 'ClusterRole',
      metadata: meta(name, labelsOf(name)),
      aggregationRule: {
        clusterRoleSelectors: [{ matchLabels: { [`${AGGREGATE}${name}`]: 'true' } }],
      },
    }
    return [...made, { ...role, rules: aggregatedRules(role, [...plainClusterRoles, ...made]) }]
  },
  [],
)

export const bootstrapClusterRoles: readonly Draft<ClusterRole>[] = [
  ...plainClusterRoles,
  ...aggregatedRoles,
]

export const bootstrapClusterRoleBindings: readonly Draft<ClusterRoleBinding>[] = [
  ...Object.entries(clusterRoleSubjects),
  ...Object.keys(controllerRoles).map((name): [string, readonly Subject[]] => [
    name,
    [account(name.slice('system:controller:'.length))],
  ]),
].map(([name, subjects]) => ({
  apiVersion: API,
  kind: 'ClusterRoleBinding',
  metadata: meta(name),
  ...(subjects.length === 0 ? {} : { subjects }),
  roleRef: roleRef('ClusterRole', name),
}))

export const bootstrapRoles: readonly Draft<Role>[] = namespacedRoles.map(
  ({ namespace, name, rules }) => ({
    apiVersion: API,
    kind: 'Role',
    metadata: meta(name, {}, namespace),
    rules,
  }),
)

export const bootstrapRoleBindings: readonly Draft<RoleBinding>[] = namespacedRoles.map(
  ({ namespace, name, subjects, bindingName = name }) => ({
    apiVersion: API,
    kind: 'RoleBinding',
    metadata: meta(bindingName, {}, namespace),
    subjects,
    roleRef: roleRef('Role', name),
  }),
)
