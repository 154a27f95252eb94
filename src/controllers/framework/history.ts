/** Revisions of a pod template, kept as ControllerRevisions: what DaemonSets and StatefulSets roll back to. */
import { controllerRevisions, type ControllerRevision, type PodTemplateSpec } from '#api'
import type { Draft, JsonObject, KubeObject, LabelSelector, ResourceRef } from '#machinery'
import { selectorMatches } from '#machinery'
import { create, patch, remove, sameJson, update, type Action } from './actions.ts'
import { adoption, controllerOf, controllerReference, isTerminating } from './ownership.ts'

export const REVISION_HASH = 'controller-revision-hash'

/**
 * A patch that puts the template in place, as `kubectl rollout undo` applies it. Clients written in Go make the same
 * patch of the template they see, with sorted keys, and compare the bytes.
 */
export const revisionData = (template: PodTemplateSpec): JsonObject =>
  sorted({ spec: { template: { ...template, $patch: 'replace' } } }) as JsonObject

const sorted = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, item]) => [key, sorted(item)]),
  )
}

export const templateOf = ({ data }: ControllerRevision): PodTemplateSpec => {
  const { template } = (data as { spec: { template: PodTemplateSpec & { $patch?: string } } }).spec
  const { $patch: _, ...rest } = template
  return rest
}

export interface History {
  /** Of the template as it is now; undefined until it has been made. */
  readonly current: ControllerRevision | undefined
  /** In the order of their numbers. */
  readonly all: readonly ControllerRevision[]
  readonly actions: readonly Action[]
  /** Another revision has the name already: the next hash must differ. */
  readonly collides: boolean
}

export interface HistoryOptions {
  readonly ref: ResourceRef
  readonly owner: KubeObject
  readonly template: PodTemplateSpec
  readonly selector: LabelSelector
  /** Its own, and those nobody controls. */
  readonly revisions: readonly ControllerRevision[]
  readonly collisionCount: number
  readonly limit: number
  /** By name or by hash: never cleared away. */
  readonly isInUse: (revision: ControllerRevision) => boolean
}

export function historyOf({
  ref,
  owner,
  template,
  selector,
  revisions,
  collisionCount,
  limit,
  isInUse,
}: HistoryOptions): History {
  const { uid } = owner.metadata
  const all = revisions
    .filter((each) => controllerOf(each)?.uid === uid)
    .toSorted(
      (a, b) =>
        Number(a.revision) - Number(b.revision) || (a.metadata.name < b.metadata.name ? -1 : 1),
    )
  const adopted = revisions.filter(
    (each) =>
      controllerOf(each) === undefined &&
      !isTerminating(each) &&
      selectorMatches(selector, each.metadata.labels),
  )
  const actions: Action[] = adopted.map((each) =>
    patch(controllerRevisions, each, adoption(ref, owner, each)),
  )
  const data = revisionData(template)
  const newest = all.at(-1)
  const matching = all.filter((each) => sameJson(each.data, data)).at(-1)
  const number = Number(newest?.revision ?? 0) + 1
  let collides = false
  if (matching === undefined && actions.length === 0) {
    const hash = hashOf(data, collisionCount)
    const name = `${owner.metadata.name}-${hash}`
    collides = revisions.some(({ metadata }) => metadata.name === name)
    if (!collides)
      actions.push(
        create(controllerRevisions, draft(ref, owner, template, { name, hash, data, number })),
      )
  } else if (matching !== undefined && matching !== newest)
    // An older template is the newest again.
    actions.push(update(controllerRevisions, { ...matching, revision: number }))
  const idle = all.filter((each) => each !== matching && !isInUse(each))
  for (const each of idle.slice(0, Math.max(0, idle.length - limit)))
    if (!isTerminating(each)) actions.push(remove(controllerRevisions, each))
  return { current: matching, all, actions, collides }
}

function draft(
  ref: ResourceRef,
  owner: KubeObject,
  template: PodTemplateSpec,
  {
    name,
    hash,
    data,
    number,
  }: {
    readonly name: string
    readonly hash: string
    readonly data: JsonObject
    readonly number: number
  },
): Draft<ControllerRevision> {
  const { namespace, annotations } = owner.metadata
  return {
    metadata: {
      name,
      ...(namespace === undefined ? {} : { namespace }),
      labels: { ...template.metadata?.labels, [REVISION_HASH]: hash },
      ...(annotations === undefined ? {} : { annotations }),
      ownerReferences: [controllerReference(ref, owner)],
    },
    data: data as NonNullable<ControllerRevision['data']>,
    revision: number,
  }
}

const ALPHABET = 'bcdfghjklmnpqrstvwxz2456789'

/** FNV-1a, 32 bits, in letters that form no words. */
function hashOf(data: unknown, collisionCount: number): string {
  const text = canonical(data) + (collisionCount === 0 ? '' : `#${collisionCount}`)
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++)
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0
  return String(hash).replaceAll(
    /./g,
    (digit) => ALPHABET[digit.charCodeAt(0) % ALPHABET.length] ?? '',
  )
}

function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null'
  return `{${Object.entries(value)
    .filter(([, item]) => item !== undefined && item !== null)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, item]) => `${JSON.stringify(key)}:${canonical(item)}`)
    .join(',')}}`
}
