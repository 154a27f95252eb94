/** Versions that became generally available after 1.36 as they were: clients that are newer ask for them. */
import type { ResourceFact, TypeTable } from '#machinery'

interface Later {
  readonly group: string
  /** As the names of its types have it. */
  readonly package: string
  readonly before: string
  /** The types that took the new name; what else they are made of has it already. */
  readonly types: RegExp
  readonly resources: readonly string[]
  /** `ga` is served by default; `beta` with the rest of what 1.36 has as beta. */
  readonly stage: 'ga' | 'beta'
}

const VERSION = 'v1'

const LATER: readonly Later[] = [
  // 1.37, KEP-4192
  {
    group: 'storagemigration.k8s.io',
    package: 'storagemigration',
    before: 'v1beta1',
    types: /^/,
    resources: ['storageversionmigrations'],
    stage: 'ga',
  },
  // 1.37, KEP-3257 and KEP-4317
  {
    group: 'certificates.k8s.io',
    package: 'certificates',
    before: 'v1beta1',
    types: /^(ClusterTrustBundle|PodCertificateRequest)/,
    resources: ['clustertrustbundles', 'podcertificaterequests'],
    stage: 'beta',
  },
  // 1.37, KEP-5055
  {
    group: 'resource.k8s.io',
    package: 'resource',
    before: 'v1beta2',
    types: /^DeviceTaint(Rule|Selector)/,
    resources: ['devicetaintrules'],
    stage: 'beta',
  },
]

const renamed = <T>(value: T, { group, package: name, before }: Later): T =>
  JSON.parse(
    JSON.stringify(value)
      .replaceAll(`${name}.${before}`, `${name}.${VERSION}`)
      .replaceAll(`${name}/${before}`, `${name}/${VERSION}`)
      .replaceAll(`"${group}","${before}"`, `"${group}","${VERSION}"`),
  ) as T

export const laterTypes = (types: TypeTable): TypeTable =>
  Object.assign(
    {},
    ...LATER.map((later) => {
      const prefix = `.${later.package}.${later.before}.`
      const own = Object.entries(types).filter(([name]) => {
        const at = name.indexOf(prefix)
        return at !== -1 && later.types.test(name.slice(at + prefix.length))
      })
      return renamed(Object.fromEntries(own), later)
    }),
  )

/** The resource with its later version, where there is one; what is stable stands first, and is what is stored. */
export function withLater(fact: ResourceFact): readonly ResourceFact[] {
  const later = LATER.find(
    ({ group, before, resources }) =>
      group === fact.group && before === fact.version && resources.includes(fact.resource),
  )
  if (later === undefined) return [fact]
  const { lifecycle: _, ...kept } = renamed(fact, later)
  const made: ResourceFact = { ...kept, version: VERSION, stage: later.stage }
  return later.stage === 'ga' ? [made, fact] : [fact, made]
}
