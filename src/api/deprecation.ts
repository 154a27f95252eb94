/** Group versions on their way out, and what comes after them. */
import { apiVersionOf, type ResourceFact } from '#machinery'

/** This API's own minor version: what is deprecated later is not yet. */
const MINOR = 36

interface Lifecycle {
  readonly deprecated?: string
  readonly removed?: string
  /** `storage.k8s.io/v1/VolumeAttributesClass` */
  readonly replacement?: string
}

/** Kinds that stay, and that nobody should begin to use. */
const OUTDATED: Readonly<Record<string, Lifecycle>> = {
  'v1/componentstatuses': { deprecated: '1.19' },
  'v1/endpoints': { deprecated: '1.33', replacement: 'discovery.k8s.io/v1/EndpointSlice' },
}

const minorOf = (version: string): number => Number(version.split('.')[1] ?? 0)

/** The text of the Warning header for any request to the resource; undefined for most. */
export function deprecationWarning(facts: ResourceFact): string | undefined {
  const apiVersion = apiVersionOf(facts)
  const lifecycle: Lifecycle = OUTDATED[`${apiVersion}/${facts.resource}`] ?? facts.lifecycle ?? {}
  const { deprecated, removed, replacement } = lifecycle
  if (deprecated === undefined || minorOf(deprecated) > MINOR) return undefined
  const until = removed === undefined ? '' : `, unavailable in v${removed}+`
  const slash = replacement?.lastIndexOf('/') ?? -1
  const instead =
    replacement === undefined
      ? ''
      : `; use ${replacement.slice(0, slash)} ${replacement.slice(slash + 1)}`
  return `${apiVersion} ${facts.kind} is deprecated in v${deprecated}+${until}${instead}`
}
