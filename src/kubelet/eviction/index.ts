/** Keeps a node from running out of memory and disk: it says so, frees what nobody needs, and ends pods when it must. */
import type { Env } from '#base'
import type { Pod } from '#api'
import type { EventRecorder } from '#client'
import type { KubeObject } from '#machinery'
import type { Rejection } from '../admission.ts'
import type { PodAgent } from '../agent/pod-agent.ts'
import { isTerminal } from '../pod/containers.ts'
import { qosClassOf } from '../pod/qos.ts'
import { brokenLimit, conditionWords, hasDiskLimits, shortageWords } from './messages.ts'
import { isCritical, ranked } from './rank.ts'
import type { Readings } from './readings.ts'
import {
  type Pressure,
  type Seen,
  type Shortage,
  type Since,
  type SoftThresholds,
  type Thresholds,
  pressuresSeen,
  shortages,
  softShortages,
} from './signals.ts'

export interface EvictionOptions {
  readonly env: Pick<Env, 'clock' | 'log'>
  readonly readings: Readings
  readonly thresholds: Thresholds
  readonly soft: SoftThresholds
  /** By the uids of their pods. */
  readonly agents: ReadonlyMap<string, PodAgent>
  readonly events: EventRecorder
  /** The node, for events about it; undefined until it is registered. */
  readonly node: () => KubeObject | undefined
  /** Removes images and ended containers that nobody needs. */
  readonly freeDisk: () => Promise<void>
  /** What the node has to say of itself is another now. */
  readonly onChange: () => void
  readonly counted: (signal: string) => void
}

const EVERY_MS = 10_000
/** An evicted pod is waited for so long before the next is chosen. */
const GONE_MS = 30_000
const LOOK_MS = 1000
/** Files are counted at most in one part of the time out of so many. */
const REST = 20
/** Those who are evicted have a second to end, whatever they ask for. */
const GRACE_SECONDS = 1
const MEMORY_TAINT = 'node.kubernetes.io/memory-pressure'

export class Eviction {
  readonly #options: EvictionOptions
  #seen: Seen = new Map()
  #since: Since = new Map()
  /** Counting files takes long on some disks: when it may be done again. */
  #limitsFromMs = 0

  constructor(options: EvictionOptions) {
    this.#options = options
  }

  /** What the node says of itself. */
  isUnder(pressure: Pressure): boolean {
    return this.#seen.has(pressure)
  }

  /** Why a new pod is not let in now. */
  admit(pod: Pod): Rejection | undefined {
    const pressures = [...this.#seen.keys()].filter((each) => each !== 'PIDPressure')
    if (pressures.length === 0 || isCritical(pod)) return undefined
    const onlyMemory = pressures.every((each) => each === 'MemoryPressure')
    if (onlyMemory && (qosClassOf(pod) !== 'BestEffort' || toleratesMemoryPressure(pod)))
      return undefined
    return { reason: 'Evicted', message: `Pod was rejected: ${conditionWords(pressures)}` }
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options.env
    while (!signal.aborted) {
      try {
        const evicted = await this.look()
        if (evicted.length === 0) await clock.sleep(EVERY_MS, signal)
        else await this.#gone(evicted, signal)
      } catch (error) {
        if (signal.aborted) return
        log.warn('Cannot find out what the node has left; trying again', { error })
        await clock.sleep(EVERY_MS, signal).catch(() => undefined)
      }
    }
  }

  /** What the node is short of; the most urgent first. */
  async observe(): Promise<readonly Shortage[]> {
    const { env, readings, thresholds, soft, onChange } = this.#options
    const observed = await readings.node()
    const { since, lasting } = softShortages(
      this.#since,
      shortages(observed, soft.thresholds).filter(({ evicts }) => evicts),
      soft,
      env.clock.monotonic(),
    )
    this.#since = since
    const hard = shortages(observed, thresholds)
    // What is below the hard threshold too is not waited with.
    const found = [
      ...hard,
      ...lasting.filter(({ signal }) => hard.every((each) => each.signal !== signal)),
    ]
    const before = [...this.#seen.keys()].join(' ')
    this.#seen = pressuresSeen(this.#seen, found, env.clock.monotonic())
    if ([...this.#seen.keys()].join(' ') !== before) onChange()
    return found
  }

  /** Once; gives the pods that it has ended. */
  async look(): Promise<readonly PodAgent[]> {
    const found = await this.observe()
    const active = [...this.#options.agents.values()].filter(isActive)
    const greedy = await this.#overLimits(active)
    if (greedy.length > 0) return greedy
    const urgent = found.find(({ evicts }) => evicts)
    return urgent === undefined ? [] : this.#relieve(urgent, active)
  }

  /** Those that use more of the disk than they allowed themselves. */
  async #overLimits(active: readonly PodAgent[]): Promise<readonly PodAgent[]> {
    const limited = active.filter(({ spec }) => hasDiskLimits(spec))
    const { clock } = this.#options.env
    const begunMs = clock.monotonic()
    if (limited.length === 0 || begunMs < this.#limitsFromMs) return []
    const uses = await this.#options.readings.pods(limited)
    this.#limitsFromMs = begunMs + REST * (clock.monotonic() - begunMs)
    return limited.filter((agent) => {
      const use = uses.get(agent.uid)
      const message = use && brokenLimit(agent.spec, use)
      if (message === undefined) return false
      return this.#evict(agent, { message, annotations: {} }, { signal: 'ephemeralstorage' })
    })
  }

  async #relieve(shortage: Shortage, active: readonly PodAgent[]): Promise<readonly PodAgent[]> {
    const { env, events, node, readings, thresholds, soft, freeDisk } = this.#options
    const { signal, resource, condition } = shortage
    env.log.warn('The node is running short', { ...shortage })
    const about = node()
    if (about !== undefined)
      events.event(about, 'Warning', 'EvictionThresholdMet', `Attempting to reclaim ${resource}`)
    if (condition === 'DiskPressure') {
      await freeDisk()
      const wanted = shortage.graceSeconds === undefined ? thresholds : soft.thresholds
      const left = shortages(await readings.node(), wanted)
      if (left.every((each) => each.signal !== signal)) return []
    }
    const uses = await readings.pods(active)
    const byUid = new Map(active.map((agent) => [agent.uid, agent]))
    for (const pod of ranked(
      active.map(({ pod: each }) => each),
      uses,
      resource,
    )) {
      const agent = byUid.get(pod.metadata.uid ?? '')
      if (agent === undefined) continue
      const graceSeconds =
        shortage.graceSeconds === undefined
          ? GRACE_SECONDS
          : Math.max(
              GRACE_SECONDS,
              Math.min(shortage.graceSeconds, pod.spec.terminationGracePeriodSeconds ?? 30),
            )
      const words = shortageWords(pod, shortage, uses.get(agent.uid))
      if (this.#evict(agent, words, { signal, disrupts: true, graceSeconds })) return [agent]
    }
    env.log.error('The node is running short, and there is no pod to evict', { signal })
    return []
  }

  /** False for what must run whatever happens. */
  #evict(
    agent: PodAgent,
    {
      message,
      annotations,
    }: { readonly message: string; readonly annotations: Readonly<Record<string, string>> },
    {
      signal,
      disrupts = false,
      graceSeconds = GRACE_SECONDS,
    }: {
      readonly signal: string
      readonly disrupts?: boolean
      readonly graceSeconds?: number
    },
  ): boolean {
    const { env, counted } = this.#options
    const pod = `${agent.spec.metadata.namespace ?? ''}/${agent.spec.metadata.name}`
    if (isCritical(agent.spec)) {
      env.log.warn('A critical pod is not evicted', { pod })
      return false
    }
    env.log.warn('A pod is evicted', { pod, message })
    agent.event('Warning', 'Evicted', message, undefined, annotations)
    agent.fail('Evicted', message, graceSeconds, disrupts)
    counted(signal)
    return true
  }

  async #gone(evicted: readonly PodAgent[], signal: AbortSignal): Promise<void> {
    const { clock } = this.#options.env
    const untilMs = clock.monotonic() + GONE_MS
    while (clock.monotonic() < untilMs) {
      await clock.sleep(LOOK_MS, signal)
      if (evicted.every(({ phase }) => phase === 'terminated')) return
    }
  }
}

const isActive = ({ phase, pod, isAdmitted }: PodAgent): boolean =>
  phase === 'syncing' && isAdmitted && !isTerminal(pod)

const toleratesMemoryPressure = ({ spec }: Pod): boolean =>
  (spec.tolerations ?? []).some(
    ({ key, operator, effect = '', value = '' }) =>
      (effect === '' || effect === 'NoSchedule') &&
      (key === MEMORY_TAINT
        ? operator === 'Exists' || value === ''
        : !key && operator === 'Exists'),
  )
