/** Get, list and watch, on entries: nothing is parsed or encoded here. */
import { Turn, type Clock } from '#base'
import { StatusError, notFound, type KubeObject, type ResourceDefinition } from '#machinery'
import type { CacheList, CacheWatch, Entry, Range } from '#storage'
import {
  isCompacted,
  readyEntries,
  shownAs,
  tooLargeRevision,
  tooOld,
  type Collection,
  type StoredEntry,
} from '../collection.ts'
import { continueExpired, decodeContinue, encodeContinue, type ContinueToken } from './continue.ts'
import { keyFor } from '../keys.ts'
import { parseRevision, type ListOptions } from '../options.ts'
import { select, type Selection } from './selection.ts'

/** A snapshot, or a page of one. */
export interface Page {
  readonly entries: readonly StoredEntry[]
  readonly revision: number
  readonly continue: string | undefined
  /** Exact; absent when nothing is left or selectors make it unknown. */
  readonly remaining: number | undefined
}

/** As long as upstream's history of five minutes lasts. */
const CONTINUE_LIFE_MS = 5 * 60_000
/** Entries read from the store at once, when a filter drops some of them. */
const SCAN_PAGE = 2000

export interface ReadContext {
  readonly definition: ResourceDefinition
  readonly collection: Collection
  readonly clock: Clock
  readonly signal: AbortSignal
}

export async function getEntry(
  { definition, collection, signal }: ReadContext,
  namespace: string,
  name: string,
  resourceVersion = '',
): Promise<StoredEntry> {
  const revision = parseRevision(resourceVersion)
  if (revision === undefined) await collection.refresh(signal)
  else if (revision > 0) await collection.waitFor(revision, signal)
  const entry = collection.cache.get(keyFor(definition.storagePrefix, namespace, name))
  if (entry === undefined) throw notFound(definition.facts, name)
  return entry
}

export async function listEntries(
  context: ReadContext,
  namespace: string,
  options: ListOptions,
): Promise<Page> {
  const { definition } = context
  const selection = select(definition, namespace, options)
  if (selection.late !== undefined) return listLate(context, selection, options)
  const page = await listSelected(context, selection, options)
  return definition.convert?.ahead === undefined
    ? page
    : { ...page, entries: await readyEntries(definition, page.entries) }
}

/** Fields of a version that a webhook makes: all is converted, then chosen from, and given in one page. */
async function listLate(
  context: ReadContext,
  { late, ...selection }: Selection,
  options: ListOptions,
): Promise<Page> {
  const { definition } = context
  const page = await listSelected(context, selection, { ...options, limit: 0 })
  const entries = await readyEntries(definition, page.entries)
  return {
    ...page,
    entries: entries.filter((entry) => late?.(shownAs(definition, entry.object)) === true),
    continue: undefined,
    remaining: undefined,
  }
}

async function listSelected(
  context: ReadContext,
  selection: Selection,
  options: ListOptions,
): Promise<Page> {
  const { collection, signal } = context
  if (options.continue !== '') return continued(context, selection, options)
  const { revision, match, limit } = options
  if (revision !== undefined && revision > 0) {
    const exact = match === 'Exact' || (match === '' && limit > 0)
    await collection.waitFor(revision, signal)
    if (exact && revision !== collection.cache.revision)
      return pageAt(context, selection, limit, {
        revision,
        after: '',
        began: context.clock.now().getTime(),
      })
  } else if (revision === undefined) await collection.refresh(signal)
  // Who is content with any state gets all of it, as from upstream's watch cache.
  return newest(context, selection, revision === 0 ? 0 : limit)
}

/** The newest state, from memory. */
async function newest(
  { collection, clock }: ReadContext,
  { prefix, key, filter }: Selection,
  limit: number,
): Promise<Page> {
  const { cache } = collection
  if (key !== undefined) {
    const entry = cache.get(key)
    const matches = entry !== undefined && (filter === undefined || filter(entry))
    return {
      entries: matches ? [entry] : [],
      revision: cache.revision,
      continue: undefined,
      remaining: undefined,
    }
  }
  const page = await readNewest(collection, { prefix }, filter, limit, clock)
  return paged(page.entries, page.revision, page.remaining, limit, {
    prefix: collection.prefix,
    filtered: filter !== undefined,
    began: clock.now().getTime(),
  })
}

async function readNewest(
  { cache }: Collection,
  range: Range,
  filter: Selection['filter'],
  limit: number,
  clock: ReadContext['clock'],
): Promise<CacheList<KubeObject>> {
  if (filter === undefined) return cache.list(range, limit > 0 ? { limit } : {})
  // A snapshot: filters may look into objects, and many take their time.
  const all = cache.list(range)
  // One more than the page tells whether another one passes the filter.
  const most = limit > 0 ? limit + 1 : Infinity
  const found: StoredEntry[] = []
  const turn = new Turn(clock)
  for (const entry of all.entries) {
    if (filter(entry)) found.push(entry)
    if (found.length === most) break
    if (turn.isOver()) await turn.next()
  }
  const entries = limit > 0 ? found.slice(0, limit) : found
  return { entries, revision: all.revision, remaining: found.length - entries.length }
}

function paged(
  entries: readonly StoredEntry[],
  revision: number,
  remaining: number,
  limit: number,
  about: { readonly prefix: string; readonly filtered: boolean; readonly began: number },
): Page {
  const last = entries.at(-1)
  if (limit === 0 || remaining === 0 || last === undefined)
    return { entries, revision, continue: undefined, remaining: undefined }
  const left = about.filtered ? undefined : remaining
  return {
    entries,
    revision,
    continue: encodeContinue({
      revision,
      after: last.key.slice(about.prefix.length),
      began: about.began,
      ...(left === undefined ? {} : { remaining: left }),
    }),
    remaining: left,
  }
}

async function continued(
  context: ReadContext,
  selection: Selection,
  { continue: text, limit }: ListOptions,
): Promise<Page> {
  const token = decodeContinue(text)
  const { collection, clock, signal } = context
  if (token.revision > 0) {
    if (clock.now().getTime() - token.began > CONTINUE_LIFE_MS) throw continueExpired(token)
    return pageAt(context, selection, limit, token)
  }
  // It began at a state that is gone: the rest is of now, and stays at now for the pages to come.
  await collection.refresh(signal)
  const range = { prefix: selection.prefix, after: collection.prefix + token.after }
  const page = await readNewest(collection, range, selection.filter, limit, clock)
  return paged(page.entries, page.revision, page.remaining, limit, {
    prefix: collection.prefix,
    filtered: selection.filter !== undefined,
    began: clock.now().getTime(),
  })
}

/** A page of the state at a past revision, from the store's history. */
async function pageAt(
  { collection }: ReadContext,
  { prefix, filter }: Selection,
  limit: number,
  token: ContinueToken,
): Promise<Page> {
  const { revision } = token
  const entries: StoredEntry[] = []
  let after = token.after === '' ? undefined : collection.prefix + token.after
  const most = limit > 0 ? limit : Infinity
  // One more than the page tells whether there are others.
  const step = filter === undefined && limit > 0 ? limit + 1 : SCAN_PAGE
  let more = true
  while (more && entries.length <= most) {
    const found = await readAt(collection, prefix, after, revision, step, token)
    for (const stored of found) {
      const entry = collection.cache.wrap(stored)
      if (filter === undefined || filter(entry)) entries.push(entry)
    }
    after = found.at(-1)?.key
    more = found.length === step
  }
  const hasMore = entries.length > most
  const page = hasMore ? entries.slice(0, most) : entries
  const remaining =
    token.remaining === undefined
      ? filter === undefined && hasMore && token.after === ''
        ? await countAfter(collection, prefix, page.at(-1)?.key, revision, token)
        : undefined
      : Math.max(token.remaining - page.length, hasMore ? 1 : 0)
  return paged(page, revision, hasMore ? (remaining ?? 1) : 0, limit, {
    prefix: collection.prefix,
    filtered: filter !== undefined || remaining === undefined,
    began: token.began,
  })
}

async function countAfter(
  collection: Collection,
  prefix: string,
  after: string | undefined,
  revision: number,
  token: ContinueToken,
): Promise<number> {
  const { length } = await readAt(collection, prefix, after, revision, Infinity, token)
  return length
}

async function readAt(
  { storage }: Collection,
  prefix: string,
  after: string | undefined,
  revision: number,
  limit: number,
  token: ContinueToken,
): Promise<readonly Entry[]> {
  try {
    const { value } = await storage.list(after === undefined ? { prefix } : { prefix, after }, {
      at: revision,
      ...(limit === Infinity ? {} : { limit }),
    })
    return value
  } catch (error) {
    if (isCompacted(error)) throw token.after === '' ? tooOld() : continueExpired(token)
    if (error instanceof RangeError) throw tooLargeRevision(revision, storage.revisions().current)
    throw error
  }
}

/** A watch that was accepted: what it begins with, and what follows. */
export interface OpenWatch {
  /**
   * Shown as ADDED first, those that pass the filter. Given once: a watch may last for hours, and must
   * not keep alive what was there when it began.
   */
  takeInitial(): readonly StoredEntry[]
  readonly filter: Selection['filter']
  /** The revision of those. */
  readonly revision: number
  /** Whether the end of the initial events is announced by a bookmark. */
  readonly announceInitial: boolean
  readonly changes: CacheWatch<KubeObject>
  /** What of a converted object decides whether it is shown. */
  readonly late: Selection['late']
}

/** Throws 410 when the revision is too long ago. */
export async function openWatch(
  { definition, collection, signal }: ReadContext,
  namespace: string,
  options: ListOptions,
  /** One object only, for `watch/…/NAME` paths. */
  name: string,
  ending: AbortController,
): Promise<OpenWatch> {
  const selection = select(definition, namespace, options)
  const key =
    selection.key ??
    (name === ''
      ? undefined
      : keyFor(definition.storagePrefix, definition.facts.namespaced ? namespace : '', name))
  const { cache } = collection
  const { revision, sendInitialEvents } = options
  if (revision === undefined) await collection.refresh(signal)
  else if (sendInitialEvents === true) await collection.waitFor(revision, signal)
  const wantsState =
    sendInitialEvents === true ||
    (sendInitialEvents === undefined && (revision === undefined || revision === 0))
  const from = wantsState || revision === undefined || revision === 0 ? cache.revision : revision
  let initial = wantsState ? newestOf(collection, selection, key) : []
  try {
    const changes = cache.watch({
      from,
      signal: ending.signal,
      onOverflow: () => ending.abort(),
      prefix: selection.prefix,
      ...(key === undefined ? {} : { key }),
      ...(selection.filter === undefined ? {} : { filter: selection.filter }),
      ...(selection.hint === undefined ? {} : { hint: selection.hint }),
    })
    return {
      takeInitial: () => {
        const taken = initial
        initial = []
        return taken
      },
      filter: selection.filter,
      revision: from,
      announceInitial: sendInitialEvents === true,
      changes,
      late: selection.late,
    }
  } catch (error) {
    if (!isCompacted(error)) throw error
    throw new StatusError('Expired', `too old resource version: ${from} (${cache.oldest})`)
  }
}

function newestOf(
  { cache }: Collection,
  { prefix }: Selection,
  key: string | undefined,
): readonly StoredEntry[] {
  if (key === undefined) return cache.list({ prefix }).entries
  const entry = cache.get(key)
  return entry === undefined ? [] : [entry]
}
