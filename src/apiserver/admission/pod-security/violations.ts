/** What a pod does that a level of the Pod Security Standards forbids, in upstream's words. */
import type { PodSpec } from '#api'
import type { ObjectMeta } from '#machinery'
import { BASELINE } from './baseline.ts'
import type { Check, Sight } from './check.ts'
import { RESTRICTED } from './restricted.ts'

export type Level = 'privileged' | 'baseline' | 'restricted'

export interface Policy {
  readonly level: Level
  /** `latest` or `v1.30`. */
  readonly version: string
}

/** What the pod does that the policy forbids, as one text; '' for nothing. `short` leaves out details. */
export function violations(
  { level, version }: Policy,
  metadata: Partial<ObjectMeta>,
  spec: PodSpec,
  { short = false }: { readonly short?: boolean } = {},
): string {
  if (level === 'privileged') return ''
  const minor = version === 'latest' ? Number.POSITIVE_INFINITY : Number(version.slice(3))
  const sight: Sight = {
    metadata,
    spec,
    pod: spec.securityContext ?? {},
    containers: [
      ...(spec.initContainers ?? []),
      ...(spec.containers ?? []),
      ...(spec.ephemeralContainers ?? []),
    ],
    minor,
    windows: spec.os?.name === 'windows',
  }
  const applies = (check: Check): boolean => (check.since ?? 0) <= minor
  const restricted = level === 'restricted' ? RESTRICTED : []
  const replaced = new Set(restricted.filter(applies).map(({ replaces }) => replaces))
  const baseline = BASELINE.filter(({ id }) => !replaced.has(id))
  return [...baseline, ...restricted]
    .filter(applies)
    .map((check) => check.run(sight))
    .filter((violation) => violation !== undefined)
    .map(({ reason, detail }) => (short || detail === '' ? reason : `${reason} (${detail})`))
    .join(', ')
}
