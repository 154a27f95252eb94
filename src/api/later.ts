/** Versions that became generally available after 1.36 as they were: clients that are newer ask for them. */
import type { ResourceFact, TypeTable } from '#machinery'

/** storagemigration.k8s.io/v1 is v1beta1 under its last name (1.37, KEP-4192). */
const BEFORE = 'storagemigration.v1beta1'
const NOW = 'storagemigration.v1'
const GROUP = 'storagemigration.k8s.io'

const renamed = <T>(value: T): T =>
  JSON.parse(
    JSON.stringify(value)
      .replaceAll(BEFORE, NOW)
      .replaceAll('storagemigration/v1beta1', 'storagemigration/v1')
      .replaceAll(`"${GROUP}","v1beta1"`, `"${GROUP}","v1"`),
  ) as T

export const laterTypes = (types: TypeTable): TypeTable =>
  renamed(Object.fromEntries(Object.entries(types).filter(([name]) => name.includes(BEFORE))))

/** The later version of a resource, where there is one. */
export function laterResources(fact: ResourceFact): readonly ResourceFact[] {
  if (fact.group !== GROUP || fact.version !== 'v1beta1') return []
  const { lifecycle: _, ...kept } = renamed(fact)
  return [{ ...kept, version: 'v1', stage: 'ga' }]
}
