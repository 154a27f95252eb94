/** Kinds that are served only when they are switched on. */
import {
  FieldPath,
  ageOf,
  invalidValue,
  required,
  type KubeObject,
  type ResourceDefinition,
} from '#machinery'
import { NONE } from './columns.ts'
import { defineFromFacts, type Overrides } from './define.ts'
import { resourceFact } from './facts.ts'
import {
  validateBundle,
  validateBundleUpdate,
  validateCertificateRequest,
  validateCertificateRequestUpdate,
} from './trust.ts'
import type { StorageVersion } from './types/apiserverinternal-v1alpha1.gen.ts'
import type { ClusterTrustBundle, PodCertificateRequest } from './types/certificates-v1beta1.gen.ts'
import type { LeaseCandidate } from './types/coordination-v1beta1.gen.ts'
import type { NodeMetrics, PodMetrics } from './types/metrics-v1beta1.gen.ts'
import type { DeviceTaintRule } from './types/resource-v1beta2.gen.ts'
import type { PodGroup } from './types/scheduling-v1alpha2.gen.ts'
import type { StorageVersionMigration } from './types/storagemigration-v1beta1.gen.ts'

interface Condition {
  readonly type: string
  readonly status: string
}
const holds = (conditions: readonly Condition[] | undefined, type: string): boolean =>
  conditions?.some((each) => each.type === type && each.status === 'True') === true
const firstTrue = (
  conditions: readonly Condition[] | undefined,
  types: readonly string[],
): string | undefined => types.find((type) => holds(conditions, type))

function define<T extends KubeObject>(
  groupVersion: string,
  resource: string,
  overrides: Overrides<T>,
): ResourceDefinition {
  const [group = '', version = ''] = groupVersion.split('/')
  const facts = resourceFact(group, version, resource)
  if (facts === undefined) throw new Error(`No facts about ${resource} of ${groupVersion}`)
  return defineFromFacts<T>(facts, overrides)
}

const usageColumns = <T extends { readonly window: unknown }>(
  usage: (object: T, name: string) => string,
): NonNullable<Overrides<KubeObject>['columns']> => {
  const column = (name: string, format: string, value: (object: T & KubeObject) => unknown) => ({
    name,
    type: 'string',
    format,
    priority: 0,
    value: value as (object: never) => unknown,
  })
  return [
    column('Name', 'name', ({ metadata }) => metadata.name),
    column('cpu', 'quantity', (object) => usage(object, 'cpu')),
    column('memory', 'quantity', (object) => usage(object, 'memory')),
    column('Window', 'duration', ({ window }) => (typeof window === 'string' ? window : '')),
  ]
}

const nodeMetrics = define('metrics.k8s.io/v1beta1', 'nodes', {
  columns: usageColumns<NodeMetrics>(({ usage }, name) => usage[name] ?? '0'),
})
const podMetrics = define('metrics.k8s.io/v1beta1', 'pods', {
  columns: usageColumns<PodMetrics>(({ containers }, name) =>
    containers.map(({ usage }) => usage[name] ?? '0').join('+'),
  ),
})

const clusterTrustBundles = define<ClusterTrustBundle>(
  'certificates.k8s.io/v1beta1',
  'clustertrustbundles',
  {
    validate: validateBundle,
    validateUpdate: validateBundleUpdate,
    fields: ({ spec }) => ({ 'spec.signerName': spec.signerName ?? '' }),
    cells: { SignerName: ({ spec }) => spec.signerName ?? '' },
  },
)

const podCertificateRequests = define<PodCertificateRequest>(
  'certificates.k8s.io/v1beta1',
  'podcertificaterequests',
  {
    validate: validateCertificateRequest,
    validateUpdate: validateCertificateRequestUpdate,
    defaults: ({ spec }) => {
      spec.maxExpirationSeconds ??= 86_400
    },
    cells: {
      PodName: ({ spec }) => spec.podName,
      ServiceAccountName: ({ spec }) => spec.serviceAccountName,
      NodeName: ({ spec }) => spec.nodeName,
      SignerName: ({ spec }) => spec.signerName,
      State: ({ status }) =>
        firstTrue(status?.conditions, ['Denied', 'Failed', 'Issued']) ?? 'Pending',
      UnverifiedUserAnnotations: ({ spec }) =>
        Object.entries(spec.unverifiedUserAnnotations ?? {})
          .toSorted(([a], [b]) => (a < b ? -1 : 1))
          .map(([key, value]) => `${key}=${value}`)
          .join(',') || NONE,
    },
  },
)

const leaseCandidates = define<LeaseCandidate>('coordination.k8s.io/v1beta1', 'leasecandidates', {
  cells: {
    LeaseName: ({ spec }) => spec.leaseName,
    BinaryVersion: ({ spec }) => spec.binaryVersion,
    EmulationVersion: ({ spec }) => spec.emulationVersion ?? '',
  },
})

const deviceTaintRules = define<DeviceTaintRule>('resource.k8s.io/v1beta2', 'devicetaintrules', {
  statusKeepsMetadata: true,
  prepareForCreate({ spec }, { now }) {
    if (spec.taint) spec.taint.timeAdded ??= `${now.toISOString().slice(0, 19)}Z`
  },
  cells: {
    Key: ({ spec }) => spec.taint.key,
    Value: ({ spec }) => spec.taint.value ?? '',
    Effect: ({ spec }) => spec.taint.effect,
    TimeAdded: ({ spec }, now) => ageOf(spec.taint.timeAdded, now),
  },
})

const storageVersionMigrations = define<StorageVersionMigration>(
  'storagemigration.k8s.io/v1',
  'storageversionmigrations',
  {
    validate: ({ spec: { resource } }) =>
      resource.resource === '' ? [required(FieldPath.of('spec', 'resource', 'resource'))] : [],
    validateUpdate: (now, old, { subresource }) =>
      subresource !== '' || JSON.stringify(now.spec) === JSON.stringify(old.spec)
        ? []
        : [invalidValue(FieldPath.of('spec'), now.spec, 'field is immutable')],
    cells: {
      Resource: ({ spec: { resource } }) =>
        resource.group === '' ? resource.resource : `${resource.resource}.${resource.group}`,
      Status: ({ status }) =>
        firstTrue(status?.conditions, ['Succeeded', 'Failed', 'Running']) ?? 'Pending',
    },
  },
)

const storageVersions = define<StorageVersion>(
  'internal.apiserver.k8s.io/v1alpha1',
  'storageversions',
  {
    cells: {
      CommonEncodingVersion: ({ status }) => status?.commonEncodingVersion ?? '<unset>',
      StorageVersions: ({ status }) =>
        (status?.storageVersions ?? [])
          .map(({ apiServerID, encodingVersion }) => `${apiServerID}=${encodingVersion}`)
          .join(',') || '<unset>',
    },
  },
)

const podGroups = define<PodGroup>('scheduling.k8s.io/v1alpha2', 'podgroups', {
  cells: {
    Policy: ({ spec }) =>
      (spec.schedulingPolicy?.gang === undefined ? 'Basic' : 'Gang') satisfies string,
    Workload: ({ spec }) => spec.podGroupTemplateRef?.workload?.workloadName ?? NONE,
    Status: ({ status }) =>
      firstTrue(
        status?.conditions,
        (status?.conditions ?? []).map(({ type }) => type),
      ) ?? 'Pending',
  },
})

export const betas = [
  clusterTrustBundles,
  podCertificateRequests,
  leaseCandidates,
  deviceTaintRules,
  storageVersionMigrations,
  storageVersions,
  podGroups,
  nodeMetrics,
  podMetrics,
]
