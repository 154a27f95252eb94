/** A watch as an answer: state, changes and bookmarks, in order, until its time is over. */
import { pause, type Counter, type Env } from '#base'
import { StatusError, type KubeObject, type ResourceDefinition, type WatchEvent } from '#machinery'
import { WatchOverflowError, type Delivery } from '#storage'
import type { Codec } from '../codec/index.ts'
import { readyEntries, shownAs, type Collection, type StoredEntry } from '../collection.ts'
import type { Exchange, Outlet, Reply } from '../exchange.ts'
import type { RequestMetrics } from '../metrics/index.ts'
import {
  LIST_SHAPES,
  MEDIA_TYPES,
  OBJECT_SHAPES,
  negotiate,
  notAcceptable,
  type Accepted,
} from '../negotiate.ts'
import { parseListOptions } from '../options.ts'
import { openWatch, type OpenWatch } from '../reads/index.ts'
import { includeObjectOf } from '../render/index.ts'
import { isInProcess, utf8 } from '../replies.ts'
import {
  bookmark,
  chunksOf,
  formFor,
  jsonFrame,
  WATCH_TYPES,
  type Form,
  type Step,
} from './frames.ts'
import { BOOKMARK_MS, pushChanges } from './push.ts'

export interface WatchContext {
  readonly codec: Codec
  readonly exchange: Exchange
  readonly definition: ResourceDefinition
  readonly collection: Collection
  readonly env: Pick<Env, 'clock' | 'random'>
  readonly metrics: RequestMetrics
}

/** Without a wish, watches end after half an hour to an hour, so that clients spread anew. */
const SHORTEST_LIFE_S = 1800
const INITIAL_BATCH = 200

export async function watchReply(
  context: WatchContext,
  namespace: string,
  name: string,
): Promise<Reply> {
  const { exchange, definition, collection, env, metrics } = context
  const { clock, random } = env
  const options = parseListOptions(exchange.query, true)
  const accepted = isInProcess(exchange) ? undefined : negotiateWatch(exchange, definition)
  const seconds =
    options.timeoutSeconds !== undefined && options.timeoutSeconds > 0
      ? options.timeoutSeconds
      : Math.round(SHORTEST_LIFE_S * (1 + random.next()))
  const ending = new AbortController()
  const end = () => ending.abort()
  let open: OpenWatch
  try {
    const reading = { definition, collection, clock, signal: exchange.signal }
    open = await openWatch(reading, namespace, options, name, ending)
  } catch (error) {
    if (accepted === undefined || !isOfRevision(error)) throw error
    return { status: 200, headers: headersOf(accepted), body: errorFrame(context, accepted, error) }
  }
  // A timer of the whole life serves the common case; it must not outlive the watch.
  const cancel = clock.schedule(Math.min(seconds * 1000, 2 ** 31 - 1), end)
  const { facts } = definition
  const scope = name !== '' ? 'resource' : namespace !== '' ? 'namespace' : 'cluster'
  const closed = metrics.watchOpened(`${facts.group}|${facts.version}|${facts.resource}|${scope}`)
  // However it ends, even before anybody has asked for the first event.
  ending.signal.addEventListener('abort', () => {
    cancel()
    closed()
    exchange.signal.removeEventListener('abort', end)
  })
  exchange.signal.addEventListener('abort', end)
  if (exchange.signal.aborted) end()
  const sent = metrics.watchEvents(facts.group, facts.version, facts.resource)
  const cut = (): void => metrics.watchCut(facts)
  const { allowBookmarks } = options
  const follower = { open, allowBookmarks, clock, sent, end, cut }
  const steps = (): AsyncGenerator<Step> => {
    const changes = follow(follower)
    return definition.convert?.ahead === undefined ? changes : readySteps(definition, open, changes)
  }
  if (accepted === undefined)
    return { status: 200, headers: {}, value: inProcessEvents(definition, steps()) }
  const includeObject = accepted.shape === 'table' ? includeObjectOf(exchange.query) : 'Metadata'
  const form = formFor(context.codec, definition, accepted, includeObject, clock)
  return {
    status: 200,
    headers: headersOf(accepted),
    body:
      definition.convert?.ahead === undefined
        ? {
            pushInto: (outlet) => push(follower, form, outlet),
            [Symbol.asyncIterator]: () => frames(form, steps()),
          }
        : frames(form, steps()),
    over: ending.signal,
  }
}

const headersOf = ({ encoding }: Accepted): Reply['headers'] => ({
  'content-type':
    encoding === 'protobuf' ? `${MEDIA_TYPES.protobuf};stream=watch` : MEDIA_TYPES.json,
})

/**
 * A revision that is too old, or has not come: told by the first event, as everything that ends a watch
 * which could be read. Clients that retry watches try a refused one again and again.
 */
const isOfRevision = (error: unknown): error is StatusError =>
  error instanceof StatusError && ['Expired', 'Timeout'].includes(error.reason)

async function* errorFrame(
  { codec }: WatchContext,
  { encoding }: Accepted,
  { status }: StatusError,
): AsyncGenerator<Uint8Array> {
  yield encoding === 'protobuf'
    ? codec.encoder.watchFrame(
        'ERROR',
        codec.encoder.encodeProtobuf(status as unknown as KubeObject),
      )
    : jsonFrame('ERROR', utf8(JSON.stringify(status)))
}

function negotiateWatch({ headers }: Exchange, definition: ResourceDefinition): Accepted {
  const accept = headers['accept']
  // Watches are asked for with the names of lists by some clients, and of objects by others.
  const shapes = /PartialObjectMetadataList/.test(accept ?? '') ? LIST_SHAPES : OBJECT_SHAPES
  const accepted = negotiate(accept?.replaceAll(/;\s*stream=watch/g, ''), shapes, definition)
  if (accepted.encoding === 'yaml')
    throw notAcceptable(
      [MEDIA_TYPES.json, ...(definition.isCustom === true ? [] : [MEDIA_TYPES.protobuf])].map(
        (type) => `${type};stream=watch`,
      ),
    )
  return accepted
}

interface Follower {
  readonly open: OpenWatch
  readonly allowBookmarks: boolean
  readonly clock: Env['clock']
  readonly sent: Counter
  /** The watch is over. */
  readonly end: () => void
  /** The watcher could not keep up. */
  readonly cut: () => void
}

/** The state that a watch begins with, if one was asked for. */
async function* beginning({
  open: { takeInitial, filter, revision, announceInitial },
  allowBookmarks,
  clock,
  sent,
}: Follower): AsyncGenerator<Step> {
  const initial = takeInitial()
  for (let at = 0; at < initial.length; at += INITIAL_BATCH) {
    if (at > 0) await pause(clock)
    const batch = initial.slice(at, at + INITIAL_BATCH)
    const entries = filter === undefined ? batch : batch.filter(filter)
    sent.add(entries.length)
    if (entries.length > 0) yield { type: 'initial', entries }
  }
  if (announceInitial && allowBookmarks) yield { type: 'bookmark', revision, endsInitial: true }
}

/** All of it written to its reader as it comes. */
async function push(follower: Follower, form: Form, outlet: Outlet): Promise<void> {
  const { open, end, cut } = follower
  try {
    let isFirst = true
    for await (const step of beginning(follower))
      for (const chunk of chunksOf(form, step, isFirst)) {
        isFirst = false
        if (outlet.isClosed) return
        if (!outlet.write(chunk)) await outlet.drained()
      }
    await pushChanges({ ...follower, changes: open.changes, form }, outlet, isFirst)
  } catch (error) {
    // A watcher that cannot keep up is cut off, and resumes from the last revision that it saw.
    if (!(error instanceof WatchOverflowError)) throw error
    cut()
  } finally {
    end()
  }
}

/** All of it in steps that are asked for. */
async function* follow(follower: Follower): AsyncGenerator<Step> {
  const { open, allowBookmarks, clock, sent, end, cut } = follower
  const { changes } = open
  let cancelTimer: () => void = () => undefined
  try {
    yield* beginning(follower)
    if (!allowBookmarks) {
      for await (const deliveries of changes) {
        sent.add(deliveries.length)
        yield { type: 'changes', deliveries }
      }
      return
    }
    const iterator = changes[Symbol.asyncIterator]()
    let due = false
    let wake: () => void = () => undefined
    let arrived: IteratorResult<readonly Delivery<KubeObject>[]> | undefined
    let failure: { readonly error: unknown } | undefined
    const ask = () => {
      iterator.next().then(
        (result) => {
          arrived = result
          wake()
        },
        (error: unknown) => {
          failure = { error }
          wake()
        },
      )
    }
    const startTimer = () => {
      cancelTimer = clock.schedule(BOOKMARK_MS, () => {
        due = true
        wake()
      })
    }
    ask()
    startTimer()
    for (;;) {
      if (arrived === undefined && failure === undefined && !due)
        await new Promise<void>((resolve) => (wake = resolve))
      if (failure !== undefined) throw failure.error
      if (arrived !== undefined) {
        if (arrived.done === true) return
        const { value } = arrived
        arrived = undefined
        sent.add(value.length)
        yield { type: 'changes', deliveries: value }
        ask()
      } else if (due) {
        due = false
        yield { type: 'bookmark', revision: changes.progress, endsInitial: false }
        startTimer()
      }
    }
  } catch (error) {
    // A watcher that cannot keep up is cut off, and resumes from the last revision that it saw.
    if (!(error instanceof WatchOverflowError)) throw error
    cut()
  } finally {
    cancelTimer()
    end()
  }
}

/** Where a webhook converts, all that a step brings is converted before it is shown. */
async function* readySteps(
  definition: ResourceDefinition,
  { late }: OpenWatch,
  steps: AsyncGenerator<Step>,
): AsyncGenerator<Step> {
  const fits = (entry: StoredEntry): boolean =>
    late === undefined || late(shownAs(definition, entry.object))
  for await (const step of steps) {
    if (step.type === 'initial') {
      const entries = await readyEntries(definition, step.entries)
      yield { type: 'initial', entries: entries.filter(fits) }
    } else if (step.type === 'changes') {
      const deliveries: Delivery<KubeObject>[] = []
      for (const delivery of step.deliveries) {
        const shown = await readyDelivery(definition, delivery, fits)
        if (shown !== undefined) deliveries.push(shown)
      }
      if (deliveries.length > 0) yield { type: 'changes', deliveries }
    } else yield step
  }
}

/** What a change is to a watcher whose selector looks at converted objects; undefined when it is nothing. */
async function readyDelivery(
  definition: ResourceDefinition,
  { type, event, entry }: Delivery<KubeObject>,
  fits: (entry: StoredEntry) => boolean,
): Promise<Delivery<KubeObject> | undefined> {
  const before = type === 'modified' ? event.previous : undefined
  const [now = entry, previous] = await readyEntries(
    definition,
    before === undefined ? [entry] : [entry, before],
  )
  const is = type !== 'deleted' && fits(now)
  const was = type === 'deleted' ? fits(now) : previous !== undefined && fits(previous)
  if (is) return { type: was ? 'modified' : 'added', event, entry: now }
  if (!was) return undefined
  if (type === 'deleted' || event.departed === undefined)
    return { type: 'deleted', event, entry: now }
  const [departed = now] = await readyEntries(definition, [event.departed])
  return { type: 'deleted', event, entry: departed }
}

async function* inProcessEvents(
  definition: ResourceDefinition,
  steps: AsyncGenerator<Step>,
): AsyncGenerator<readonly WatchEvent[]> {
  for await (const step of steps) {
    switch (step.type) {
      case 'initial':
        yield step.entries.map((entry) => ({
          type: 'ADDED',
          object: shownAs(definition, entry.object),
        }))
        break
      case 'changes':
        yield step.deliveries.map(({ type, entry }) => ({
          type: WATCH_TYPES[type],
          object: shownAs(definition, entry.object),
        }))
        break
      case 'bookmark':
        yield [{ type: 'BOOKMARK', object: bookmark(definition, step) as unknown as KubeObject }]
    }
  }
}

async function* frames(form: Form, steps: AsyncGenerator<Step>): AsyncGenerator<Uint8Array> {
  let isFirst = true
  for await (const step of steps)
    for (const chunk of chunksOf(form, step, isFirst)) {
      isFirst = false
      yield chunk
    }
}
