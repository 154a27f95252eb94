/** The flow schemas and priority levels that every cluster has (KEP-1040), and how they are kept. */
import type { Transport } from '#client'
import { isStatus } from '#machinery'
import type { FlowSchema, PriorityLevelConfiguration } from '#api'

type Spec<T extends { readonly spec: unknown }> = T['spec']
type Rules = NonNullable<Spec<FlowSchema>['rules']>[number]

export interface Wanted<T extends { readonly spec: unknown }> {
  readonly name: string
  readonly spec: Spec<T>
  /** Nobody may change it; the others follow us only while their annotation says so. */
  readonly mandatory: boolean
}

const limited = (
  nominalConcurrencyShares: number,
  lendablePercent: number,
  queues?: { readonly queues: number; readonly handSize: number },
): Spec<PriorityLevelConfiguration> => ({
  type: 'Limited',
  limited: {
    nominalConcurrencyShares,
    lendablePercent,
    limitResponse:
      queues === undefined
        ? { type: 'Reject' }
        : { type: 'Queue', queuing: { ...queues, queueLengthLimit: 50 } },
  },
})

const few = { queues: 16, handSize: 4 }
const some = { queues: 64, handSize: 6 }
const many = { queues: 128, handSize: 6 }

export const priorityLevels: readonly Wanted<PriorityLevelConfiguration>[] = [
  {
    name: 'exempt',
    mandatory: true,
    spec: { type: 'Exempt', exempt: { nominalConcurrencyShares: 0, lendablePercent: 0 } },
  },
  { name: 'catch-all', mandatory: true, spec: limited(5, 0) },
  { name: 'system', mandatory: false, spec: limited(30, 33, some) },
  { name: 'node-high', mandatory: false, spec: limited(40, 25, some) },
  { name: 'leader-election', mandatory: false, spec: limited(10, 0, few) },
  { name: 'workload-high', mandatory: false, spec: limited(40, 50, many) },
  { name: 'workload-low', mandatory: false, spec: limited(100, 90, many) },
  { name: 'global-default', mandatory: false, spec: limited(20, 50, many) },
]

const group = (name: string) => ({ kind: 'Group', group: { name } })
const user = (name: string) => ({ kind: 'User', user: { name } })
const systemAccount = (name: string) => ({
  kind: 'ServiceAccount',
  serviceAccount: { namespace: 'kube-system', name },
})
const everyone = [group('system:unauthenticated'), group('system:authenticated')]

const everything: Pick<Rules, 'resourceRules' | 'nonResourceRules'> = {
  resourceRules: [
    { verbs: ['*'], apiGroups: ['*'], resources: ['*'], clusterScope: true, namespaces: ['*'] },
  ],
  nonResourceRules: [{ verbs: ['*'], nonResourceURLs: ['*'] }],
}
const inNamespaces = (
  verbs: readonly string[],
  apiGroup: string,
  resources: readonly string[],
) => ({
  verbs,
  apiGroups: [apiGroup],
  resources,
  namespaces: ['*'],
})

const schema = (
  name: string,
  priorityLevel: string,
  matchingPrecedence: number,
  distinguisher: 'ByUser' | 'ByNamespace' | undefined,
  rules: readonly Rules[],
  mandatory = false,
): Wanted<FlowSchema> => ({
  name,
  mandatory,
  spec: {
    priorityLevelConfiguration: { name: priorityLevel },
    matchingPrecedence,
    ...(distinguisher === undefined ? {} : { distinguisherMethod: { type: distinguisher } }),
    rules,
  },
})

const ELECTING = ['get', 'create', 'update']
const electors = [
  user('system:kube-controller-manager'),
  user('system:kube-scheduler'),
  systemAccount('*'),
]

export const flowSchemas: readonly Wanted<FlowSchema>[] = [
  schema(
    'exempt',
    'exempt',
    1,
    undefined,
    [{ subjects: [group('system:masters')], ...everything }],
    true,
  ),
  schema('probes', 'exempt', 2, undefined, [
    {
      subjects: everyone,
      nonResourceRules: [{ verbs: ['get'], nonResourceURLs: ['/healthz', '/readyz', '/livez'] }],
    },
  ]),
  schema('system-leader-election', 'leader-election', 100, 'ByUser', [
    {
      subjects: electors,
      resourceRules: [inNamespaces(ELECTING, 'coordination.k8s.io', ['leases'])],
    },
  ]),
  schema('endpoint-controller', 'workload-high', 150, 'ByUser', [
    {
      subjects: [systemAccount('endpoint-controller'), systemAccount('endpointslice-controller')],
      resourceRules: [
        inNamespaces(ELECTING, '', ['endpoints']),
        inNamespaces(ELECTING, 'discovery.k8s.io', ['endpointslices']),
      ],
    },
  ]),
  schema('workload-leader-election', 'leader-election', 200, 'ByUser', [
    {
      subjects: [systemAccount('*')],
      resourceRules: [
        inNamespaces(ELECTING, '', ['endpoints', 'configmaps']),
        inNamespaces(ELECTING, 'coordination.k8s.io', ['leases']),
      ],
    },
  ]),
  schema('system-node-high', 'node-high', 400, 'ByUser', [
    {
      subjects: [group('system:nodes')],
      resourceRules: [
        {
          verbs: ['*'],
          apiGroups: [''],
          resources: ['nodes', 'nodes/status'],
          clusterScope: true,
        },
        inNamespaces(['*'], 'coordination.k8s.io', ['leases']),
      ],
    },
  ]),
  schema('system-nodes', 'system', 500, 'ByUser', [
    { subjects: [group('system:nodes')], ...everything },
  ]),
  schema('kube-controller-manager', 'workload-high', 800, 'ByNamespace', [
    { subjects: [user('system:kube-controller-manager')], ...everything },
  ]),
  schema('kube-scheduler', 'workload-high', 800, 'ByNamespace', [
    { subjects: [user('system:kube-scheduler')], ...everything },
  ]),
  schema('kube-system-service-accounts', 'workload-high', 900, 'ByNamespace', [
    { subjects: [systemAccount('*')], ...everything },
  ]),
  schema('service-accounts', 'workload-low', 9000, 'ByUser', [
    { subjects: [group('system:serviceaccounts')], ...everything },
  ]),
  schema('global-default', 'global-default', 9900, 'ByUser', [
    { subjects: everyone, ...everything },
  ]),
  schema('catch-all', 'catch-all', 10_000, 'ByUser', [{ subjects: everyone, ...everything }], true),
]

const AUTO_UPDATE = 'apf.kubernetes.io/autoupdate-spec'
const BASE = '/apis/flowcontrol.apiserver.k8s.io/v1'

interface Stored {
  readonly metadata: {
    readonly name: string
    readonly annotations?: Readonly<Record<string, string>>
  }
  readonly spec: unknown
}

const holds = (stored: unknown, wanted: unknown): boolean => {
  if (Array.isArray(wanted))
    return (
      Array.isArray(stored) &&
      stored.length === wanted.length &&
      wanted.every((value, i) => holds(stored[i], value))
    )
  if (typeof wanted === 'object' && wanted !== null)
    return (
      typeof stored === 'object' &&
      stored !== null &&
      Object.entries(wanted).every(([key, value]) =>
        holds((stored as Record<string, unknown>)[key], value),
      )
    )
  return stored === wanted
}

export interface Mending {
  readonly create: boolean
  readonly name: string
  readonly object: Readonly<Record<string, unknown>>
}

/** What to write so that the defaults are there: nothing when they are, or when a user has taken one over. */
export function mendings<T extends { readonly spec: unknown }>(
  wanted: readonly Wanted<T>[],
  stored: readonly Stored[],
): readonly Mending[] {
  const byName = new Map(stored.map((object) => [object.metadata.name, object]))
  return wanted.flatMap(({ name, spec, mandatory }): Mending[] => {
    const found = byName.get(name)
    const annotations = { [AUTO_UPDATE]: 'true' }
    if (found === undefined)
      return [{ create: true, name, object: { metadata: { name, annotations }, spec } }]
    const ours = mandatory || found.metadata.annotations?.[AUTO_UPDATE] === 'true'
    return ours && !holds(found.spec, spec)
      ? [{ create: false, name, object: { ...found, spec } }]
      : []
  })
}

/** Creates and mends the defaults. Takes a transport that may do everything. */
export async function ensureFlowControl(transport: Transport): Promise<void> {
  const kept = async <T extends { readonly spec: unknown }>(
    resource: string,
    kind: string,
    wanted: readonly Wanted<T>[],
  ): Promise<void> => {
    const { items } = (await transport.request({ method: 'GET', path: `${BASE}/${resource}` })) as {
      readonly items: readonly Stored[]
    }
    await Promise.all(
      mendings(wanted, items).map(async ({ create, name, object }) => {
        try {
          await transport.request({
            method: create ? 'POST' : 'PUT',
            path: create ? `${BASE}/${resource}` : `${BASE}/${resource}/${name}`,
            body: {
              apiVersion: 'flowcontrol.apiserver.k8s.io/v1',
              kind,
              ...object,
            },
          })
        } catch (error) {
          // Another server was as quick.
          if (!isStatus(error, 'AlreadyExists')) throw error
        }
      }),
    )
  }
  await kept('prioritylevelconfigurations', 'PriorityLevelConfiguration', priorityLevels)
  await kept('flowschemas', 'FlowSchema', flowSchemas)
}
