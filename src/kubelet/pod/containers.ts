/** The containers of a pod, as the spec states them. */
import { createHash } from 'node:crypto'
import type { Container, EphemeralContainer, Pod } from '#api'

export type ContainerKind = 'init' | 'regular' | 'ephemeral'
export type AnyContainer = Container | EphemeralContainer

/** A restartable init container: starts before the others, runs beside them, stops after them. */
export const isSidecar = (container: AnyContainer, kind: ContainerKind): boolean =>
  kind === 'init' && container.restartPolicy === 'Always'

export function* allContainers(pod: Pod): Generator<readonly [AnyContainer, ContainerKind]> {
  for (const container of pod.spec.initContainers ?? []) yield [container, 'init']
  for (const container of pod.spec.containers) yield [container, 'regular']
  for (const container of pod.spec.ephemeralContainers ?? []) yield [container, 'ephemeral']
}

export function findContainer(
  pod: Pod,
  name: string,
): readonly [AnyContainer, ContainerKind] | undefined {
  for (const entry of allContainers(pod)) if (entry[0].name === name) return entry
  return undefined
}

/** `spec.containers{app}`: how events name a container. */
export function fieldPathOf(pod: Pod, name: string): string {
  const kind = findContainer(pod, name)?.[1]
  const list =
    kind === 'init' ? 'initContainers' : kind === 'ephemeral' ? 'ephemeralContainers' : 'containers'
  return `spec.${list}{${name}}`
}

/** What may change on a running container and means another one: its image. */
export const containerHash = ({ name, image = '' }: AnyContainer): string =>
  createHash('sha256').update(`${name}\0${image}`).digest('hex').slice(0, 8)

/** Whether an ended container is to run again, by its own policy and rules and then by the pod's. */
export function restartsAfter(
  pod: Pod,
  container: AnyContainer,
  kind: ContainerKind,
  exitCode: number,
): boolean {
  if (kind === 'ephemeral') return false
  for (const { action, exitCodes } of container.restartPolicyRules ?? []) {
    if (exitCodes === undefined) continue
    const listed = (exitCodes.values ?? []).includes(exitCode)
    if (action === 'Restart' && (exitCodes.operator === 'In' ? listed : !listed)) return true
  }
  const policy = container.restartPolicy ?? pod.spec.restartPolicy ?? 'Always'
  // An init container of a pod that always restarts still runs only until it succeeds.
  if (kind === 'init' && container.restartPolicy !== 'Always') {
    return exitCode !== 0 && policy !== 'Never'
  }
  return policy === 'Always' || (policy === 'OnFailure' && exitCode !== 0)
}

export const isDeleted = (pod: Pod): boolean => pod.metadata.deletionTimestamp !== undefined

export const isTerminal = (pod: Pod): boolean =>
  pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed'

/** `web-0_shop(1b4e…)`: how messages name a pod. */
export const podLabel = ({ metadata }: Pod): string =>
  `${metadata.name}_${metadata.namespace ?? ''}(${metadata.uid ?? ''})`

export const uidOf = ({ metadata }: Pod): string => metadata.uid ?? ''
export const namespaceOf = ({ metadata }: Pod): string => metadata.namespace ?? ''

const DEFAULT_GRACE_SECONDS = 30

/** Seconds that its containers are given to end, as the spec states them. */
export const specGraceOf = ({ spec }: Pod): number =>
  Number(spec.terminationGracePeriodSeconds ?? DEFAULT_GRACE_SECONDS)

/** The API states them when it is deleted; before that they are the spec's. */
export const graceOf = (pod: Pod): number =>
  Number(pod.metadata.deletionGracePeriodSeconds ?? specGraceOf(pod))
