/** APIServices of what this server serves by itself: they say in which order clients prefer groups and versions. */
import type { APIService, CustomResourceDefinition } from '#api'
import type { Draft } from '#machinery'

/** One version of a group. */
export interface GroupVersion {
  readonly group: string
  readonly version: string
}

/** Between groups, highest first; and of a group's versions, when they are not 15. */
const PRIORITIES: Readonly<
  Record<
    string,
    {
      readonly group: number
      readonly versions?: Readonly<Record<string, number>>
      /** Usually another server's, whose APIService comes with it: Helm installs none that is there already. */
      readonly isAnothers?: true
    }
  >
> = {
  '': { group: 18_000, versions: { v1: 1 } },
  apps: { group: 17_800 },
  'events.k8s.io': { group: 17_750 },
  'authentication.k8s.io': { group: 17_700 },
  'authorization.k8s.io': { group: 17_600 },
  autoscaling: { group: 17_500, versions: { v2: 30 } },
  batch: { group: 17_400 },
  'certificates.k8s.io': { group: 17_300 },
  'networking.k8s.io': { group: 17_200 },
  policy: { group: 17_100 },
  'rbac.authorization.k8s.io': { group: 17_000 },
  'storage.k8s.io': { group: 16_800 },
  'admissionregistration.k8s.io': { group: 16_700, versions: { v1beta1: 12 } },
  'apiextensions.k8s.io': { group: 16_700 },
  'scheduling.k8s.io': { group: 16_600 },
  'coordination.k8s.io': { group: 16_500 },
  'node.k8s.io': { group: 16_300 },
  'discovery.k8s.io': { group: 16_200, versions: { v1beta1: 12 } },
  'flowcontrol.apiserver.k8s.io': { group: 16_100, versions: { v1: 21 } },
  'internal.apiserver.k8s.io': { group: 16_000 },
  'resource.k8s.io': { group: 15_900 },
  'storagemigration.k8s.io': { group: 15_800 },
  'metrics.k8s.io': { group: 100, versions: { v1beta1: 100 }, isAnothers: true },
}
const STAGES = { ga: 15, beta: 9, alpha: 1 } as const

/** Custom resources come after all that is built in. */
const CUSTOM = { groupPriorityMinimum: 1000, versionPriority: 100 }

export const AUTOMANAGED = 'kube-aggregator.kubernetes.io/automanaged'
/** Itself is not among those it speaks of. */
const ITSELF = 'apiregistration.k8s.io'

const apiService = (
  { group, version }: GroupVersion,
  managed: 'onstart' | 'true',
  priorities: Pick<APIService['spec'], 'groupPriorityMinimum' | 'versionPriority'>,
): Draft<APIService> => ({
  apiVersion: 'apiregistration.k8s.io/v1',
  kind: 'APIService',
  metadata: { name: `${version}.${group}`, labels: { [AUTOMANAGED]: managed } },
  spec: { ...(group === '' ? {} : { group }), version, ...priorities },
})

/** What there should be, by name. */
export function localServices(
  builtIn: readonly GroupVersion[],
  customs: readonly CustomResourceDefinition[],
): ReadonlyMap<string, Draft<APIService>> {
  const services = new Map<string, Draft<APIService>>()
  const add = (service: Draft<APIService>): void => {
    const name = service.metadata.name ?? ''
    if (!services.has(name)) services.set(name, service)
  }
  for (const each of builtIn) {
    const { group, versions, isAnothers } = PRIORITIES[each.group] ?? {}
    if (group === undefined || each.group === ITSELF || isAnothers === true) continue
    const stage = each.version.includes('alpha')
      ? 'alpha'
      : each.version.includes('beta')
        ? 'beta'
        : 'ga'
    const versionPriority = versions?.[each.version] ?? STAGES[stage]
    add(apiService(each, 'onstart', { groupPriorityMinimum: group, versionPriority }))
  }
  for (const { spec } of customs)
    for (const { name, served } of spec.versions)
      if (served) add(apiService({ group: spec.group, version: name }, 'true', CUSTOM))
  return services
}

export type Change =
  | { readonly type: 'create'; readonly service: Draft<APIService> }
  | { readonly type: 'delete'; readonly name: string }

/** From what is there to what should be. What somebody else made is left alone. */
export function changes(
  wanted: ReadonlyMap<string, Draft<APIService>>,
  there: readonly APIService[],
): readonly Change[] {
  const names = new Set(there.map(({ metadata }) => metadata.name))
  return [
    ...[...wanted]
      .filter(([name]) => !names.has(name))
      .map(([, service]): Change => ({ type: 'create', service })),
    ...there
      .filter(
        ({ metadata: { name, labels } }) =>
          labels?.[AUTOMANAGED] !== undefined && !wanted.has(name),
      )
      .map(({ metadata }): Change => ({ type: 'delete', name: metadata.name })),
  ]
}

/** For the order of discovery. */
export const groupPriority = (group: string): number => PRIORITIES[group]?.group ?? 0
