/** The facts as typed tables: what Kubernetes states per type, resource and printer. */
import type { PrinterColumnFact, ResourceFact, TypeTable } from '#machinery'
import printersJson from '../../facts/printers.json' with { type: 'json' }
import resourcesJson from '../../facts/resources.json' with { type: 'json' }
import { laterTypes, withLater } from './later.ts'
import typesJson from '../../facts/types.json' with { type: 'json' }

/** A group of the API as `/apis` lists it. */
export interface GroupFact {
  readonly group: string
  readonly versions: readonly string[]
  readonly preferred: string
}

interface PrinterFact {
  readonly group: string
  readonly resource: string
  readonly columns: readonly PrinterColumnFact[]
}

const known = typesJson as unknown as { readonly types: TypeTable }
const knownResources = resourcesJson as unknown as { readonly resources: readonly ResourceFact[] }

/** Types of metrics.k8s.io are not in upstream's own documents: there they do not say which kinds they are. */
function metricsTypes(): TypeTable {
  const found: Record<string, TypeTable[string]> = {}
  const { resources } = knownResources
  for (const { group, version, kind, type, listType } of resources)
    if (group === 'metrics.k8s.io')
      for (const [name, of] of [
        [type, kind],
        [listType, `${kind}List`],
      ] as const) {
        const fact = name === undefined ? undefined : known.types[name]
        if (name !== undefined && fact !== undefined)
          found[name] = { ...fact, gvk: [[group, version, of]] }
      }
  return found
}

/** Every type of the API by its OpenAPI definition name. */
export const typeTable: TypeTable = {
  ...known.types,
  ...laterTypes(known.types),
  ...metricsTypes(),
}

/** Every resource that Kubernetes 1.36 knows, of all stages, in the order of its groups, and the few that we know already. */
export const resourceFacts: readonly ResourceFact[] = knownResources.resources.flatMap(withLater)

/** The groups in the order in which `/apis` lists them. */
export const groupFacts = (resourcesJson as unknown as { readonly groups: readonly GroupFact[] })
  .groups

const printers = new Map(
  (printersJson as unknown as { readonly printers: readonly PrinterFact[] }).printers.map(
    ({ group, resource, columns }) => [`${group}/${resource}`, columns],
  ),
)

/** Columns of `kubectl get` for a resource; the default table (Name, Created At) when it has none of its own. */
export const printerColumns = (
  group: string,
  resource: string,
): readonly PrinterColumnFact[] | undefined => printers.get(`${group}/${resource}`)

const byName = new Map(
  resourceFacts.map((fact) => [`${fact.group}/${fact.version}/${fact.resource}`, fact]),
)

export const resourceFact = (
  group: string,
  version: string,
  resource: string,
): ResourceFact | undefined => byName.get(`${group}/${version}/${resource}`)
