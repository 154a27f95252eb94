/** What a check of the Pod Security Standards is, what it looks at, and the words in which it tells of it. */
import type { Container, EphemeralContainer, PodSecurityContext, PodSpec } from '#api'
import type { ObjectMeta } from '#machinery'

export interface Violation {
  readonly reason: string
  readonly detail: string
}

export type AnyContainer = Container | EphemeralContainer

export interface Sight {
  readonly metadata: Partial<ObjectMeta>
  readonly spec: PodSpec
  readonly pod: PodSecurityContext
  /** Init containers, then containers, then ephemeral ones. */
  readonly containers: readonly AnyContainer[]
  readonly minor: number
  readonly windows: boolean
}

export interface Check {
  /** Upstream's name: checks are told in the order of names. */
  readonly id: string
  /** Checks of the baseline that this one contains. */
  readonly replaces?: string
  /** The first minor version that has it. */
  readonly since?: number
  run(sight: Sight): Violation | undefined
}

/** Between quotes as they are: nothing in them is escaped. */
export const quoted = (names: readonly string[]): string => `"${names.join('", "')}"`
export const plural = (one: string, many: string, count: number): string =>
  count === 1 ? one : many
/** `container "a"`, `containers "a", "b"`. */
export const named = (containers: readonly AnyContainer[]): string =>
  `${plural('container', 'containers', containers.length)} ${quoted(containers.map(({ name }) => name))}`

/** `pod`, `container "a"`, or both. */
export const setters = (pod: boolean, containers: readonly AnyContainer[]): string =>
  [...(pod ? ['pod'] : []), ...(containers.length > 0 ? [named(containers)] : [])].join(' and ')

export const unique = (values: readonly string[]): readonly string[] =>
  [...new Set(values)].toSorted()

export function unmaskedProc(containers: readonly AnyContainer[]): Violation | undefined {
  const mounts = containers.flatMap((container) => {
    const type = container.securityContext?.procMount
    return type === undefined || type === 'Default' ? [] : [{ container, type }]
  })
  if (mounts.length === 0) return undefined
  const types = unique(mounts.map(({ type }) => type))
  return {
    reason: 'procMount',
    detail: `${named(mounts.map(({ container }) => container))} must not set securityContext.procMount to ${quoted(types)}`,
  }
}

export const capabilitiesAdded = (
  containers: readonly AnyContainer[],
  allowed: readonly string[],
): { readonly bad: readonly AnyContainer[]; readonly names: readonly string[] } => {
  const extra = ({ securityContext }: AnyContainer): readonly string[] =>
    (securityContext?.capabilities?.add ?? []).filter((name) => !allowed.includes(name))
  const bad = containers.filter((container) => extra(container).length > 0)
  return { bad, names: unique(bad.flatMap(extra)) }
}
