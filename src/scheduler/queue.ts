/**
 * Pods that wait for a node: those to try now, those that wait a little after a failure, and those that
 * wait for something to change. What they wait for is known, so that nothing is tried in vain.
 */
import type { Clock } from '#base'
import type { Pod } from '#api'
import { isSuccess, type ClusterEvent } from './framework.ts'
import type { Framework } from './framework-run.ts'
import { Heap } from './heap.ts'
import { createPodInfo, type PodInfo } from './pod-info.ts'

export interface QueuedPod {
  readonly uid: string
  info: PodInfo
  attempts: number
  /** By the clock's monotonic time: of pods of one priority, who came first. */
  readonly since: number
  /** End of the last attempt. */
  tried: number
  refusedBy: ReadonlySet<string>
  place: 'active' | 'backoff' | 'unschedulable' | 'gated' | 'inFlight'
  /** In `backoff`: when to try again. */
  readyAt: number
  /** Changes with the place: a heap's entry with an older one is void. */
  ticket: number
}

interface Entry {
  readonly queued: QueuedPod
  readonly ticket: number
}

/** After an error: 1 s, 2 s, 4 s, up to 10 s. */
const FIRST_BACKOFF_MS = 1000
const LAST_BACKOFF_MS = 10_000
/** When something has changed in its favour, a pod waits for less: this for each attempt. */
const HELPED_BACKOFF_MS = 100
/** Whatever happens, a pod is tried again after this. */
const RETRY_MS = 300_000

/** Pods that wait: to be tried, for a while, or for something to change. */
export class SchedulingQueue {
  readonly #clock: Clock
  readonly #framework: Framework
  readonly #onReady: () => void
  readonly #pods = new Map<string, QueuedPod>()
  readonly #unschedulable = new Set<QueuedPod>()
  readonly #active: Heap<Entry>
  readonly #backoff = new Heap<Entry>((a, b) => a.queued.readyAt - b.queued.readyAt)
  #timer: { readonly at: number; readonly cancel: () => void } | undefined

  /** `onReady` is called when there is something to pop. */
  constructor({ clock, framework }: { clock: Clock; framework: Framework }, onReady: () => void) {
    this.#clock = clock
    this.#framework = framework
    this.#onReady = onReady
    this.#active = new Heap(
      ({ queued: a }, { queued: b }) => framework.compare(a.info, b.info) || a.since - b.since,
    )
  }

  get counts(): Readonly<Record<QueuedPod['place'], number>> {
    const counts = { active: 0, backoff: 0, unschedulable: 0, gated: 0, inFlight: 0 }
    for (const { place } of this.#pods.values()) counts[place]++
    return counts
  }

  get(uid: string): QueuedPod | undefined {
    return this.#pods.get(uid)
  }

  /** A new pod, or a new version of one that waits. */
  put(pod: Pod): void {
    const info = createPodInfo(pod)
    const known = this.#pods.get(info.uid)
    if (known === undefined) {
      const queued: QueuedPod = {
        uid: info.uid,
        info,
        attempts: 0,
        since: this.#clock.monotonic(),
        tried: -Infinity,
        refusedBy: new Set(),
        place: 'inFlight',
        readyAt: 0,
        ticket: 0,
      }
      this.#pods.set(info.uid, queued)
      this.#enqueue(queued)
      return
    }
    const before = known.info
    known.info = info
    if (known.place === 'gated') this.#enqueue(known)
    else if (known.place === 'active' && before.priority !== info.priority) this.#enqueue(known)
    else if (known.place === 'unschedulable' && isChanged(before.pod, pod)) this.#help(known)
  }

  remove(uid: string): void {
    const queued = this.#pods.get(uid)
    if (queued === undefined) return
    this.#pods.delete(uid)
    this.#unschedulable.delete(queued)
    queued.ticket++
  }

  /** The pod to try now. It stays known, as in flight, until it fails or is removed. */
  pop(): QueuedPod | undefined {
    for (let entry = this.#active.pop(); entry !== undefined; entry = this.#active.pop()) {
      const { queued, ticket } = entry
      if (queued.ticket !== ticket) continue
      this.#move(queued, 'inFlight')
      queued.attempts++
      return queued
    }
    return undefined
  }

  /** No node would do: it waits until something changes that may help. */
  failed(queued: QueuedPod, refusedBy: ReadonlySet<string>): void {
    if (!this.#isCurrent(queued)) return
    queued.refusedBy = refusedBy
    queued.tried = this.#clock.monotonic()
    this.#move(queued, 'unschedulable')
    this.#unschedulable.add(queued)
    this.#arm()
  }

  /** Something went wrong: it is tried again after a while. */
  failedWithError(queued: QueuedPod): void {
    if (!this.#isCurrent(queued)) return
    queued.refusedBy = new Set()
    queued.tried = this.#clock.monotonic()
    const wait = Math.min(FIRST_BACKOFF_MS * 2 ** (queued.attempts - 1), LAST_BACKOFF_MS)
    this.#waitUntil(queued, queued.tried + wait)
  }

  /** Pods that the event may help get another try. */
  onEvent(event: ClusterEvent): void {
    for (const queued of this.#unschedulable)
      if (this.#framework.mayHelp(queued.info, queued.refusedBy, event)) this.#help(queued)
  }

  close(): void {
    this.#timer?.cancel()
    this.#pods.clear()
    this.#unschedulable.clear()
  }

  #isCurrent(queued: QueuedPod): boolean {
    return this.#pods.get(queued.uid) === queued && queued.place === 'inFlight'
  }

  #help(queued: QueuedPod): void {
    const wait = Math.min(HELPED_BACKOFF_MS * queued.attempts, LAST_BACKOFF_MS)
    const readyAt = queued.tried + wait
    if (readyAt <= this.#clock.monotonic()) this.#enqueue(queued)
    else this.#waitUntil(queued, readyAt)
  }

  #enqueue(queued: QueuedPod): void {
    const verdict = this.#framework.preEnqueue(queued.info.pod)
    if (!isSuccess(verdict)) {
      this.#move(queued, 'gated')
      return
    }
    this.#move(queued, 'active')
    this.#active.push({ queued, ticket: queued.ticket })
    this.#onReady()
  }

  #waitUntil(queued: QueuedPod, readyAt: number): void {
    queued.readyAt = readyAt
    this.#move(queued, 'backoff')
    this.#backoff.push({ queued, ticket: queued.ticket })
    this.#arm()
  }

  #move(queued: QueuedPod, place: QueuedPod['place']): void {
    if (queued.place === 'unschedulable') this.#unschedulable.delete(queued)
    queued.place = place
    queued.ticket++
  }

  /** One timer, for the first that is due; none when nobody waits. */
  #arm(): void {
    while (this.#backoff.peek() !== undefined && !isValid(this.#backoff.peek())) this.#backoff.pop()
    // A set keeps the order of entry: the first has waited longest.
    const [longest] = this.#unschedulable
    const at = Math.min(
      this.#backoff.peek()?.queued.readyAt ?? Infinity,
      longest === undefined ? Infinity : longest.tried + RETRY_MS,
    )
    if (this.#timer !== undefined && this.#timer.at <= at) return
    this.#timer?.cancel()
    this.#timer = undefined
    if (at === Infinity) return
    const wait = Math.max(0, at - this.#clock.monotonic())
    this.#timer = { at, cancel: this.#clock.schedule(wait, () => this.#onTimer()) }
  }

  #onTimer(): void {
    this.#timer = undefined
    const now = this.#clock.monotonic()
    for (let entry = this.#backoff.peek(); entry !== undefined; entry = this.#backoff.peek()) {
      if (isValid(entry) && entry.queued.readyAt > now) break
      this.#backoff.pop()
      if (isValid(entry)) this.#enqueue(entry.queued)
    }
    for (const queued of this.#unschedulable) {
      if (queued.tried + RETRY_MS > now) break
      this.#enqueue(queued)
    }
    this.#arm()
  }
}

const isValid = (entry: Entry | undefined): boolean => entry?.queued.ticket === entry?.ticket

/** Changes of the status are mostly the scheduler's own: they make no difference. */
function isChanged(before: Pod, after: Pod): boolean {
  const relevant = ({ spec, metadata: { labels, annotations, deletionTimestamp } }: Pod) =>
    JSON.stringify([spec, labels, annotations, deletionTimestamp])
  return relevant(before) !== relevant(after)
}
