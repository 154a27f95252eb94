/**
 * Priority and fairness (KEP-1040): every request belongs to a flow of a priority level; a level works on
 * as many requests at once as it has seats, the others wait in its queues or are told to come again.
 */
import type { FlowSchema, PriorityLevelConfiguration } from '#api'
import type { Awaitable, Clock, Env } from '#base'
import type { RequestUser } from '#machinery'
import { PlainError } from '../plain-error.ts'
import type { RequestInfo } from '../exchange.ts'
import { flowSchemas as defaultSchemas, priorityLevels as defaultLevels } from './defaults.ts'
import { FairQueues } from './fair-queues.ts'
import { flowOf, inOrder, matches } from './match.ts'
import type { LevelState, Rejection, Served, WaitingRequest } from './levels.ts'
import { flowMetrics, type FlowCounts } from './metrics.ts'
import { limitOf, shareSeats, type Share, type Use } from './seats.ts'

/** A request waits no longer than this for its turn: a quarter of what it may take in all, as upstream. */
const LONGEST_WAIT_MS = 15_000

const TOO_MANY = 'Too many requests, please try again later.'

type Waiting = Omit<WaitingRequest, 'queue' | 'index'> & {
  readonly admit: () => void
  /** Known once it is in one. */
  queue: number
}

interface Level {
  readonly name: string
  readonly uid: string
  readonly exempt: boolean
  /** Undefined when nothing waits here: what finds no seat is refused. */
  queues: FairQueues<Waiting> | undefined
  settings: string
  share: Share
  inUse: number
  executing: number
  dispatched: number
  readonly rejected: Map<Rejection, number>
  /** By queue; absent when nothing of it is in the works. */
  readonly served: Map<number, Served>
}

/** What a request was found to be. */
export interface Flow {
  readonly schemaUid: string
  readonly levelUid: string
}

/** A request's turn has come. */
export interface FlowTurn {
  readonly flow: Flow
  release(): void
}

/** Decides when a request may begin (API Priority and Fairness, KEP-1040). */
export interface FlowControl {
  /** Comes when it is the request's turn; throws or rejects with 429. `release` is called once, when it is done. */
  enter(
    user: RequestUser,
    info: RequestInfo,
    seats: number,
    /** Whose signal aborts when nobody waits for it any more. */
    asking: { readonly signal: AbortSignal },
  ): Awaitable<FlowTurn>
  configure(schemas: readonly FlowSchema[], levels: readonly PriorityLevelConfiguration[]): void
  /** For /metrics and the debugging pages. */
  levels(): Iterable<LevelState>
  /** Who waits at a level. */
  waiting(level: string): Iterable<WaitingRequest>
}

const mandatory = <T extends FlowSchema | PriorityLevelConfiguration>(
  wanted: readonly { name: string; spec: T['spec']; mandatory: boolean }[],
): readonly T[] =>
  wanted
    .filter((each) => each.mandatory)
    .map(({ name, spec }) => ({ metadata: { name, uid: '' }, spec }) as unknown as T)

/** The mandatory ones work also before they are stored, and when somebody deletes them. */
const withMandatory = <T extends FlowSchema | PriorityLevelConfiguration>(
  given: readonly T[],
  always: readonly T[],
): readonly T[] => [
  ...given,
  ...always.filter(({ metadata }) => !given.some((each) => each.metadata.name === metadata.name)),
]

const MANDATORY_SCHEMAS = mandatory<FlowSchema>(defaultSchemas)
const MANDATORY_LEVELS = mandatory<PriorityLevelConfiguration>(defaultLevels)

interface Begun {
  readonly level: Level
  readonly counts: FlowCounts
  readonly flow: Flow
  readonly seats: number
  /** That it has come out of. */
  readonly queue: number | undefined
}

/** A request in the works, counted until it is released. */
class Turn implements FlowTurn {
  readonly flow: Flow
  readonly #begun: Begun
  readonly #clock: Pick<Clock, 'monotonic'>
  readonly #leave: (level: Level, seats: number) => void
  readonly #since: number
  #isOver = false

  constructor(
    clock: Pick<Clock, 'monotonic'>,
    begun: Begun,
    leave: (level: Level, seats: number) => void,
  ) {
    const { level, counts, flow, queue } = begun
    this.flow = flow
    this.#begun = begun
    this.#clock = clock
    this.#leave = leave
    this.#since = clock.monotonic()
    if (queue !== undefined && !level.served.has(queue))
      level.served.set(queue, { executing: 0, inUse: 0 })
    level.dispatched++
    counts.dispatched.add()
    counts.seats.observe(this.#counted)
    this.#count(1)
  }

  release(): void {
    if (this.#isOver) return
    this.#isOver = true
    const { level, counts, seats } = this.#begun
    this.#count(-1)
    counts.took.observe((this.#clock.monotonic() - this.#since) / 1000)
    if (!level.exempt) this.#leave(level, seats)
  }

  /** Who is exempt takes no seat, and counts as one. */
  get #counted(): number {
    return this.#begun.level.exempt ? 1 : this.#begun.seats
  }

  #count(by: 1 | -1): void {
    const { level, counts, queue } = this.#begun
    const seats = by * this.#counted
    counts.executing += by
    counts.executingSeats += seats
    level.executing += by
    if (queue === undefined) return
    const served = level.served.get(queue) ?? { executing: 0, inUse: 0 }
    served.executing += by
    served.inUse += seats
    if (served.executing === 0) level.served.delete(queue)
    else level.served.set(queue, served)
  }
}

/** Follows the FlowSchemas and priority levels of the cluster, and holds back what they do not let through. */
export function createFlowControl(
  { clock, metrics }: Pick<Env, 'clock' | 'metrics'>,
  options: { readonly seats: number; readonly longestWaitMs?: number },
): FlowControl {
  let schemas: readonly FlowSchema[] = []
  let levels = new Map<string, Level>()
  const longestWaitMs = options.longestWaitMs ?? LONGEST_WAIT_MS

  const uses = function* (): Generator<Use> {
    for (const { share, inUse } of levels.values()) yield { ...share, inUse }
  }
  /** A request wider than its level may use all of it, alone. */
  const fits = (level: Level, seats: number): boolean =>
    level.inUse === 0 ||
    level.inUse + seats <= limitOf({ ...level.share, inUse: level.inUse }, uses())

  const serve = (level: Level): void => {
    for (;;) {
      const next = level.queues?.peek()
      if (next === undefined || !fits(level, next.seats)) return
      level.queues?.take()
      level.inUse += next.seats
      next.item.admit()
    }
  }
  /** Seats that became free may serve the level, or one that borrows from it. */
  const leave = (level: Level, seats: number): void => {
    level.inUse -= seats
    serve(level)
    for (const other of levels.values()) if ((other.queues?.length ?? 0) > 0) serve(other)
  }
  const reject = (level: Level, counts: FlowCounts, reason: Rejection): Error => {
    level.rejected.set(reason, (level.rejected.get(reason) ?? 0) + 1)
    counts.rejected(reason)
    return new PlainError(TOO_MANY, 'TooManyRequests', TOO_MANY, {
      details: { retryAfterSeconds: 1 },
    })
  }

  /** Resolves with the queue that it has come out of. */
  const wait = async (
    level: Level,
    counts: FlowCounts,
    request: Omit<Waiting, 'admit' | 'queue' | 'arrived'>,
    signal: AbortSignal,
  ): Promise<number> => {
    const { schema, flow, seats } = request
    const turn = Promise.withResolvers<void>()
    const waiting: Waiting = { ...request, arrived: clock.now(), admit: turn.resolve, queue: 0 }
    const queues = level.queues
    if (queues === undefined) throw reject(level, counts, 'concurrency-limit')
    const place = queues.add(`${schema}/${flow}`, seats, waiting)
    if (place === undefined) throw reject(level, counts, 'queue-full')
    waiting.queue = place.queue
    counts.queueLength.observe(place.length)
    const since = clock.monotonic()
    let isLetIn = false
    const giveUp = (reason: Rejection) => (): void => {
      if (queues.remove(waiting)) turn.reject(reject(level, counts, reason))
    }
    const cancel = clock.schedule(longestWaitMs, giveUp('time-out'))
    const gone = giveUp('cancelled')
    signal.addEventListener('abort', gone, { once: true })
    counts.inQueue++
    counts.inQueueSeats += seats
    try {
      serve(level)
      await turn.promise
      isLetIn = true
      return place.queue
    } finally {
      counts.inQueue--
      counts.inQueueSeats -= seats
      counts.waited((clock.monotonic() - since) / 1000, isLetIn)
      cancel()
      signal.removeEventListener('abort', gone)
    }
  }
  const control: FlowControl = {
    enter(user, info, wanted, asking) {
      const schema = schemas.find((each) => matches(each, user, info)) ?? schemas.at(-1)
      const level =
        levels.get(schema?.spec.priorityLevelConfiguration.name ?? '') ?? levels.get('catch-all')
      if (schema === undefined || level === undefined) throw new Error('no priority level')
      const flow = { schemaUid: schema.metadata.uid ?? '', levelUid: level.uid }
      const seats = level.exempt ? 0 : Math.min(wanted, widest(level.share.nominal))
      const name = schema.metadata.name ?? ''
      const counts = counted.of(level.name, name)
      const turn = (queue?: number): FlowTurn =>
        new Turn(clock, { level, counts, flow, seats, queue }, leave)
      if (level.exempt) return turn()
      if ((level.queues?.length ?? 0) > 0 || !fits(level, seats)) {
        const request = { schema: name, flow: flowOf(schema, user, info), user, info, seats }
        return wait(level, counts, request, asking.signal).then(turn)
      }
      level.inUse += seats
      counts.waited(0, true)
      return turn()
    },
    configure(givenSchemas, givenLevels) {
      const all = withMandatory(givenLevels, MANDATORY_LEVELS)
      const before = levels
      const shares = new Map(shareSeats(all, options.seats).map((share) => [share.name, share]))
      levels = new Map(
        all.map((given) => {
          const name = given.metadata.name ?? ''
          return [name, levelOf(given, shares.get(name)!, before.get(name))]
        }),
      )
      // What waits at a level that is gone is let in: it waited long enough for nothing.
      for (const [name, level] of before) if (!levels.has(name)) letIn(level)
      schemas = inOrder(
        withMandatory(givenSchemas, MANDATORY_SCHEMAS).filter(({ spec }) =>
          levels.has(spec.priorityLevelConfiguration.name),
        ),
      )
      for (const level of levels.values()) serve(level)
    },
    *levels() {
      for (const level of levels.values()) {
        const { name, exempt, share, inUse, executing, queues, dispatched, rejected } = level
        const most = Math.min(share.borrowable, options.seats)
        yield {
          name,
          exempt,
          nominalSeats: share.nominal,
          currentSeats: limitOf({ ...share, inUse }, uses()),
          lowestSeats: share.nominal - share.lendable,
          highestSeats: share.nominal + most,
          seatsInUse: inUse,
          executing,
          waiting: queues?.length ?? 0,
          queues: (queues?.queues ?? []).map(({ items, seats, start }, i) => ({
            ...(level.served.get(i) ?? { executing: 0, inUse: 0 }),
            length: items.length,
            seats,
            start,
          })),
          dispatched,
          rejected,
        }
      }
    },
    *waiting(name) {
      for (const { items } of levels.get(name)?.queues?.queues ?? [])
        for (const [index, item] of items.entries()) yield { ...item, index }
    },
  }
  const counted = flowMetrics(metrics, () => control.levels())
  control.configure([], [])
  return control
}

const MOST_SEATS = 10
/** No request takes more than a small part of its level. */
const widest = (nominal: number): number =>
  Math.max(1, Math.min(MOST_SEATS, Math.ceil(nominal * 0.15)))

function letIn(level: Level): void {
  for (let next = level.queues?.take(); next !== undefined; next = level.queues?.take()) {
    level.inUse += next.seats
    next.item.admit()
  }
}

/** Keeps what is running and waiting when a level is changed. */
function levelOf(
  { metadata, spec }: PriorityLevelConfiguration,
  share: Share,
  before: Level | undefined,
): Level {
  const response = spec.limited?.limitResponse
  const queuing = response?.type === 'Queue' ? response.queuing : undefined
  const settings = JSON.stringify(queuing ?? null)
  const exempt = spec.type === 'Exempt'
  if (before !== undefined && before.exempt === exempt && before.uid === (metadata.uid ?? '')) {
    if (before.settings !== settings) {
      letIn(before)
      before.queues = queuesOf(queuing)
      before.settings = settings
    }
    before.share = share
    return before
  }
  if (before !== undefined) letIn(before)
  return {
    name: metadata.name ?? '',
    uid: metadata.uid ?? '',
    exempt,
    queues: queuesOf(queuing),
    settings,
    share,
    inUse: 0,
    executing: 0,
    dispatched: 0,
    rejected: new Map(),
    served: new Map(),
  }
}

type Queuing = NonNullable<
  NonNullable<
    NonNullable<PriorityLevelConfiguration['spec']['limited']>['limitResponse']
  >['queuing']
>
const queuesOf = (queuing: Queuing | undefined): FairQueues<Waiting> | undefined =>
  queuing === undefined
    ? undefined
    : new FairQueues({
        queues: queuing.queues ?? 64,
        handSize: queuing.handSize ?? 8,
        lengthLimit: queuing.queueLengthLimit ?? 50,
      })
