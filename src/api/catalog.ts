/** All resources of the API, by group, version and name. */
import type { ResourceDefinition } from '#machinery'
import { defineFromFacts } from './define.ts'
import { resourceFacts } from './facts.ts'
import { defineVersion, storedVersion } from './versions.ts'
import { written } from './written.ts'

/** Which group versions are served, beside those that are stable (`--runtime-config`). */
export interface Enabled {
  /** Beta and alpha group versions to serve as well, for example `resource.k8s.io/v1beta1`; 'beta' and 'alpha' stand for all of their stage, 'all' for both. */
  readonly also?: readonly string[]
  /** Group versions that are not served, whatever their stage. */
  readonly except?: readonly string[]
}

const keyOf = (group: string, version: string, resource: string): string =>
  `${group}/${version}/${resource}`

const byKey = new Map<string, ResourceDefinition>()
for (const definition of written) {
  const { group, version, resource } = definition.facts
  byKey.set(keyOf(group, version, resource), definition)
}

function definitionOf(fact: ResourceDefinition['facts']): ResourceDefinition {
  const key = keyOf(fact.group, fact.version, fact.resource)
  const known = byKey.get(key)
  if (known) return known
  const stored = storedVersion(fact)
  const made = stored === fact ? defineFromFacts(fact) : defineVersion(fact, definitionOf(stored))
  byKey.set(key, made)
  return made
}

/** What `kubectl top` reads has no stable version. */
const ALWAYS: ReadonlySet<string> = new Set(['metrics.k8s.io/v1beta1'])

/** Every resource that is served: what is generally available, and what is switched on. */
export function definitionsFor({
  also = [],
  except = [],
}: Enabled = {}): readonly ResourceDefinition[] {
  const chosen = new Set(also)
  const left = new Set(except)
  return resourceFacts
    .filter(
      ({ stage, group, version }) =>
        !left.has(`${group}/${version}`) &&
        (stage === 'ga' ||
          ALWAYS.has(`${group}/${version}`) ||
          chosen.has('all') ||
          (chosen.has(stage) && !left.has(stage)) ||
          chosen.has(`${group}/${version}`)),
    )
    .map(definitionOf)
}

/** What a cluster serves by default. */
export const definitions: readonly ResourceDefinition[] = definitionsFor()

/** Undefined for what Kubernetes 1.36 does not know; betas are found whether served or not. */
export function findDefinition(
  group: string,
  version: string,
  resource: string,
): ResourceDefinition | undefined {
  const known = byKey.get(keyOf(group, version, resource))
  if (known) return known
  const fact = resourceFacts.find(
    (each) => each.group === group && each.version === version && each.resource === resource,
  )
  return fact && definitionOf(fact)
}
