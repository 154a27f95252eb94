/** Publishes pods' statuses: only what changed, one write at a time for a pod, never backwards. */
import type { Env } from '#base'
import { type Pod, type PodCondition, type PodStatus, pods } from '#api'
import type { Client } from '#client'
import { isStatus } from '#machinery'
import { namespaceOf, uidOf } from './pod/containers.ts'

interface Entry {
  pod: Pod
  /** What the API has of ours, as far as is known. */
  published: PodStatus
  wanted: PodStatus
  /** What the present write has compared with last: one that is set after that is not in it. */
  tried: PodStatus | undefined
  writing: Promise<void> | undefined
  /** The newest that the API has shown: what a watch brought, or an answer to a write of ours. */
  shown: Pod | undefined
  /** Ends the wait for what others wrote to be written over. */
  cancelRestore: (() => void) | undefined
}

/** So often upstream's kubelet looks whether its statuses are what the API has. */
const RESTORE_MS = 10_000
const RETRY_MS = 100
const MAX_RETRY_MS = 10_000
/** The conditions of a pod that its kubelet owns. */
const OWNED_CONDITIONS = new Set([
  'PodReadyToStartContainers',
  'Initialized',
  'Ready',
  'ContainersReady',
  'PodScheduled',
  'PodResizePending',
  'PodResizeInProgress',
])
/** Others disrupt pods too, and say so themselves. */
const isOwn = ({ type, reason }: PodCondition): boolean =>
  OWNED_CONDITIONS.has(type) || (type === 'DisruptionTarget' && reason === 'TerminationByKubelet')

/** Writes each pod's newest status, one write at a time for each. */
export class StatusWriter {
  readonly #client: Client
  readonly #env: Pick<Env, 'clock' | 'log'>
  readonly #entries = new Map<string, Entry>()
  readonly #signal: AbortSignal
  /** Of pods that are others in the API: their uids there. */
  readonly #mirrors = new Map<string, string>()

  constructor(client: Client, env: Pick<Env, 'clock' | 'log'>, signal: AbortSignal) {
    this.#client = client
    this.#env = env
    this.#signal = signal
  }

  /** The pod as it is now: our own part of its status from here, that of others from the cache. */
  current(pod: Pod): Pod {
    const entry = this.#entries.get(uidOf(pod))
    if (entry === undefined) return pod
    const own = (entry.wanted.conditions ?? []).filter(isOwn)
    const foreign = (pod.status?.conditions ?? []).filter(
      (condition) => !isOwn(condition) && own.every(({ type }) => type !== condition.type),
    )
    return { ...pod, status: { ...entry.wanted, conditions: [...own, ...foreign] } }
  }

  /** Begins to write the status when it differs from what was written last. */
  set(pod: Pod, status: PodStatus): void {
    const uid = uidOf(pod)
    const entry = this.#entries.get(uid) ?? {
      pod,
      published: pod.status ?? {},
      wanted: status,
      tried: undefined,
      writing: undefined,
      shown: undefined,
      cancelRestore: undefined,
    }
    entry.pod = pod
    entry.wanted = forward(entry.wanted, status)
    this.#entries.set(uid, entry)
    this.#begin(uid, entry)
  }

  #begin(uid: string, entry: Entry): void {
    entry.writing ??= this.#write(uid, entry).finally(() => {
      entry.writing = undefined
      const isKept = this.#entries.get(uid) === entry && !this.#signal.aborted
      if (isKept && entry.wanted !== entry.tried) this.#begin(uid, entry)
      else this.#compare(uid, entry)
    })
  }

  /** The API shows this: what somebody wrote over our part of the status is put right after a while. */
  seen(pod: Pod): void {
    const uid = uidOf(pod)
    const entry = this.#entries.get(uid)
    if (entry === undefined) return
    entry.shown = newer(entry.shown, pod)
    this.#compare(uid, entry)
  }

  /** The pod comes from a file; in the API this is its image, which shows what was written to it so far. */
  mirrored(uid: string, mirror: Pod): void {
    const isNew = this.#mirrors.get(uid) !== uidOf(mirror)
    this.#mirrors.set(uid, uidOf(mirror))
    const entry = this.#entries.get(uid)
    if (entry === undefined) return
    if (!isNew) {
      entry.shown = newer(entry.shown, mirror)
      this.#compare(uid, entry)
      return
    }
    entry.published = mirror.status ?? {}
    entry.shown = mirror
    // What was under way was meant for nobody.
    entry.tried = undefined
    this.#begin(uid, entry)
  }

  /** Its uid in the API, when it is another there. */
  mirrorOf(uid: string): string | undefined {
    return this.#mirrors.get(uid)
  }

  /** In the middle of a write there is nothing to compare with: its end does. */
  #compare(uid: string, entry: Entry): void {
    if (entry.writing !== undefined || this.#entries.get(uid) !== entry) return
    if (!isForeign(entry)) {
      entry.cancelRestore?.()
      entry.cancelRestore = undefined
      return
    }
    entry.cancelRestore ??= this.#env.clock.schedule(RESTORE_MS, () => {
      entry.cancelRestore = undefined
      if (this.#entries.get(uid) !== entry || entry.writing !== undefined) return
      if (!isForeign(entry)) return
      entry.published = entry.shown?.status ?? {}
      this.#begin(uid, entry)
    })
  }

  /** When all that was set has been written. */
  async flushed(uid: string): Promise<void> {
    for (let entry = this.#entries.get(uid); entry?.writing !== undefined;) {
      await entry.writing
      entry = this.#entries.get(uid)
    }
  }

  forget(uid: string): void {
    this.#entries.get(uid)?.cancelRestore?.()
    this.#entries.delete(uid)
    this.#mirrors.delete(uid)
  }

  async #write(uid: string, entry: Entry): Promise<void> {
    for (let wait = RETRY_MS; !this.#signal.aborted && this.#entries.get(uid) === entry;) {
      const { pod, wanted, published } = entry
      entry.tried = wanted
      const patch = statusPatch(published, wanted)
      if (patch === undefined) return
      try {
        const written = await this.#client.patch(
          pods,
          { namespace: namespaceOf(pod), name: pod.metadata.name },
          'strategic',
          { metadata: { uid: this.#mirrors.get(uid) ?? uid }, status: patch },
          {
            subresource: 'status',
            signal: this.#signal,
            cause: causeOf(pod),
          },
        )
        entry.published = wanted
        entry.shown = newer(entry.shown, written)
        wait = RETRY_MS
      } catch (error) {
        if (isGone(error)) return
        if (this.#signal.aborted) return
        this.#env.log.warn('Cannot write the status of a pod; trying again', {
          pod: `${namespaceOf(pod)}/${pod.metadata.name}`,
          error: error as Error,
        })
        await this.#env.clock.sleep(wait, this.#signal).catch(() => {})
        wait = Math.min(wait * 2, MAX_RETRY_MS)
      }
    }
  }
}

const causeOf = (pod: Pod): string =>
  `kubelet/${namespaceOf(pod)}/${pod.metadata.name}@${pod.metadata.resourceVersion ?? ''}`

/** The pod is gone, or another has its name: that one's uid is not to be changed. */
const isGone = (error: unknown): boolean =>
  isStatus(error, 'NotFound') ||
  isStatus(error, 'Conflict') ||
  (isStatus(error, 'Invalid') && error.message.includes('metadata.uid:'))

const OWNED_FIELDS = ['phase', 'message', 'reason', 'podIP', 'hostIP'] as const

const revisionOf = (pod: Pod | undefined): number => Number(pod?.metadata.resourceVersion ?? 0)

const newer = (known: Pod | undefined, pod: Pod): Pod =>
  known !== undefined && revisionOf(known) > revisionOf(pod) ? known : pod

const isForeign = ({ shown, published }: Entry): boolean =>
  shown !== undefined && differs(shown.status ?? {}, published)

/** In what a kubelet alone says; a last phase is anybody's to give. */
const differs = (found: PodStatus, published: PodStatus): boolean =>
  found.phase !== 'Succeeded' &&
  found.phase !== 'Failed' &&
  (OWNED_FIELDS.some((key) => (found[key] ?? '') !== (published[key] ?? '')) ||
    (published.conditions ?? []).some(
      ({ type, status }) =>
        OWNED_CONDITIONS.has(type) &&
        found.conditions?.find((condition) => condition.type === type)?.status !== status,
    ))

/** Neither a last phase nor a container's count of restarts is ever taken back. */
function forward(old: PodStatus, next: PodStatus): PodStatus {
  const ended = old.phase === 'Succeeded' || old.phase === 'Failed'
  return ended && next.phase !== old.phase ? { ...next, phase: old.phase } : next
}

/** A strategic merge patch from one to the other; undefined when they are the same. */
export function statusPatch(
  from: PodStatus,
  to: PodStatus,
): Readonly<Record<string, unknown>> | undefined {
  const patch: Record<string, unknown> = {}
  const before = from as Readonly<Record<string, unknown>>
  const after = to as Readonly<Record<string, unknown>>
  for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
    if (key === 'conditions') continue
    if (same(before[key], after[key])) continue
    if (key === 'podIPs' || key === 'hostIPs') {
      patch[key] = mergeList(before[key], after[key], 'ip')
    } else if (key === 'resourceClaimStatuses') {
      continue
    } else {
      patch[key] = after[key] ?? null
    }
  }
  const conditions = conditionPatches(from.conditions ?? [], to.conditions ?? [])
  if (conditions.length > 0) patch['conditions'] = conditions
  return Object.keys(patch).length === 0 ? undefined : patch
}

function conditionPatches(
  from: readonly PodCondition[],
  to: readonly PodCondition[],
): readonly unknown[] {
  const changed: unknown[] = []
  for (const condition of to) {
    if (!isOwn(condition)) continue
    const old = from.find(({ type }) => type === condition.type)
    if (same(old, condition)) continue
    // Fields of a merged entry stay unless they are taken out.
    const gone = Object.fromEntries(
      Object.keys(old ?? {})
        .filter((key) => !(key in condition))
        .map((key) => [key, null]),
    )
    changed.push({ ...gone, ...condition })
  }
  for (const old of from) {
    if (!isOwn(old) || to.some(({ type }) => type === old.type)) continue
    changed.push({ $patch: 'delete', type: old.type })
  }
  return changed
}

function mergeList(from: unknown, to: unknown, key: string): readonly unknown[] {
  const entries = (list: unknown) => (list ?? []) as readonly Readonly<Record<string, unknown>>[]
  const kept = new Set(entries(to).map((entry) => entry[key]))
  return [
    ...entries(to),
    ...entries(from)
      .filter((entry) => !kept.has(entry[key]))
      .map((entry) => ({ $patch: 'delete', [key]: entry[key] })),
  ]
}

/** Deep equality of JSON values; an absent member is the same as undefined. */
export function same(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (Array.isArray(a) !== Array.isArray(b)) return false
  const [left, right] = [a as Record<string, unknown>, b as Record<string, unknown>]
  const keys = new Set([...Object.keys(left), ...Object.keys(right)])
  for (const key of keys) if (!same(left[key], right[key])) return false
  return true
}
