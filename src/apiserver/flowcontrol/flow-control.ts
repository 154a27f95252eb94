/**
 * Priority and fairness (KEP-1040): every request belongs to a flow of a priority level; a level works on
 * as many requests at once as it has seats, the others wait in its queues or are told to come again.
 */
import type { FlowSchema, PriorityLevelConfiguration } from '#api'
import type { Env } from '#base'
import { tooManyRequests, type RequestUser } from '#machinery'
import type { RequestInfo } from '../exchange.ts'
import { flowSchemas as defaultSchemas, priorityLevels as defaultLevels } from './defaults.ts'
import { FairQueues } from './fair-queues.ts'
import { flowOf, inOrder, matches } from './match.ts'
import { limitOf, shareSeats, type Share, type Use } from './seats.ts'

/** A request waits no longer than this for its turn: a quarter of what it may take in all, as upstream. */
const LONGEST_WAIT_MS = 15_000

export type Rejection = 'queue-full' | 'concurrency-limit' | 'time-out' | 'cancelled'

interface Waiting {
  readonly admit: () => void
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
  dispatched: number
  readonly rejected: Map<Rejection, number>
}

/** What a request was found to be. */
export interface Flow {
  readonly schemaUid: string
  readonly levelUid: string
}

export interface FlowControl {
  /** Resolves when it is the request's turn; rejects with 429. `release` is called once, when it is done. */
  enter(
    user: RequestUser,
    info: RequestInfo,
    seats: number,
    signal: AbortSignal,
  ): Promise<{ readonly flow: Flow; release(): void }>
  configure(schemas: readonly FlowSchema[], levels: readonly PriorityLevelConfiguration[]): void
  /** For /metrics and the debugging pages. */
  levels(): Iterable<LevelState>
}

export interface LevelState {
  readonly name: string
  readonly nominalSeats: number
  readonly seatsInUse: number
  readonly waiting: number
  readonly dispatched: number
  readonly rejected: ReadonlyMap<Rejection, number>
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

export function createFlowControl(
  { clock }: Pick<Env, 'clock'>,
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
  const reject = (level: Level, reason: Rejection): Error => {
    level.rejected.set(reason, (level.rejected.get(reason) ?? 0) + 1)
    return tooManyRequests('Too many requests, please try again later.', 1)
  }

  const wait = async (
    level: Level,
    flow: string,
    seats: number,
    signal: AbortSignal,
  ): Promise<void> => {
    const turn = Promise.withResolvers<void>()
    const waiting: Waiting = { admit: turn.resolve }
    const queues = level.queues
    if (queues === undefined) throw reject(level, 'concurrency-limit')
    if (!queues.add(flow, seats, waiting)) throw reject(level, 'queue-full')
    const giveUp = (reason: Rejection) => (): void => {
      if (queues.remove(waiting)) turn.reject(reject(level, reason))
    }
    const cancel = clock.schedule(longestWaitMs, giveUp('time-out'))
    const gone = giveUp('cancelled')
    signal.addEventListener('abort', gone, { once: true })
    try {
      serve(level)
      await turn.promise
    } finally {
      cancel()
      signal.removeEventListener('abort', gone)
    }
  }

  const control: FlowControl = {
    async enter(user, info, wanted, signal) {
      const schema = schemas.find((each) => matches(each, user, info)) ?? schemas.at(-1)
      const level =
        levels.get(schema?.spec.priorityLevelConfiguration.name ?? '') ?? levels.get('catch-all')
      if (schema === undefined || level === undefined) throw new Error('no priority level')
      const flow = { schemaUid: schema.metadata.uid ?? '', levelUid: level.uid }
      const seats = level.exempt ? 0 : Math.min(wanted, widest(level.share.nominal))
      if (!level.exempt) {
        if ((level.queues?.length ?? 0) === 0 && fits(level, seats)) level.inUse += seats
        else {
          const name = `${schema.metadata.name ?? ''}/${flowOf(schema, user, info)}`
          await wait(level, name, seats, signal)
        }
      }
      level.dispatched++
      let left = false
      return {
        flow,
        release() {
          if (left || level.exempt) return
          left = true
          leave(level, seats)
        },
      }
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
      for (const { name, share, inUse, queues, dispatched, rejected } of levels.values())
        yield {
          name,
          nominalSeats: share.nominal,
          seatsInUse: inUse,
          waiting: queues?.length ?? 0,
          dispatched,
          rejected,
        }
    },
  }
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
    dispatched: 0,
    rejected: new Map(),
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
