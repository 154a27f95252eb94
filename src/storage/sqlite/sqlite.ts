/**
 * The embedded store. All writes that arrive in one turn of the event loop, or while the disk takes the
 * batch before them, become one row of a log, one transaction and one fsync; then they are applied to the
 * table in memory and acknowledged. The process goes on while the disk works. Idle, it writes nothing.
 */
import type { Clock, Logger } from '#base'
import type { EmbeddedStorage } from '../embedded.ts'
import { StorageClosedError, StorageFullError } from '../errors.ts'
import type { SlabEntry } from '../slabs.ts'
import type { Revision, Write } from '../storage.ts'
import { isAllowed, Table, type Operation, type TableChange } from '../table.ts'
import { checksum, decodeRow, encodeRow, type LoggedChange } from './format.ts'
import { damaged, openError, openFile as openStoreFile, type StoreFile } from './file.ts'
import { createFolder } from './fold.ts'
import { createJournal, type Journal } from './journal.ts'
import { touchPages } from './touch-pages.ts'
import { createUnsaved } from './unsaved.ts'

/** Where the file is, and how much it may hold. */
export interface SqliteStorageOptions {
  readonly path: string
  readonly clock: Clock
  readonly log: Logger
  /** Changes older than this may leave the journal, and do as new ones come. Default: 24 hours. */
  readonly historyMs?: number
  /** So may the oldest when the journal is larger than this. Default: 512 MB. */
  readonly historyBytes?: number
  /** The file may not grow beyond this: writes then fail with `StorageFullError`. */
  readonly maxBytes?: number
}

/** The embedded store, with what only it can tell. */
export interface SqliteStorage extends EmbeddedStorage {
  /** Who changed what, when and why, as far as history reaches back. */
  readonly journal: Journal
  /** Of the file, without its write-ahead log. */
  sizeBytes(): number
}

const HOUR_MS = 3_600_000
/** Bounds of one transaction, so that none stalls the process. */
const BATCH_CHANGES = 512
const BATCH_BYTES = 2 * 1024 * 1024
/** What watches and reads of the past find in memory. */
const WINDOW = { changes: 100_000, bytes: 128 * 1024 * 1024 }
const WINDOW_MS = 300_000
/**
 * Volatile changes take revisions that no disk knows. So the disk knows a bound that they stay below,
 * and after a crash the counter goes on from the bound: a revision never names two states.
 */
const RESERVED_REVISIONS = 1_000_000
/** How long the existence of a volatile object may be unknown to the disk. */
const LAZY_MS = 60_000
const LAZY_CHANGES = 512

interface Waiting {
  readonly operation: Operation
  readonly resolve: (write: Write) => void
  readonly reject: (error: unknown) => void
}

/** Opens or creates the file. Throws `StorageOpenError` when that cannot be, and `StorageFullError`. */
export function openSqliteStorage(
  options: SqliteStorageOptions,
  openFile = openStoreFile,
): SqliteStorage {
  const { path, clock, log } = options
  const file = openFile(path, options)
  const table = new Table(touchPages)
  const started = clock.monotonic()
  let reserved: Revision
  try {
    load(file, table)
    reserved = reserve(file, table.current, log)
  } catch (error) {
    file.db.close()
    throw openError(path, error)
  }
  log.debug('opened the store', {
    path,
    entries: table.size,
    revision: table.current,
    milliseconds: Math.round(clock.monotonic() - started),
  })

  const fold = createFolder(file, {
    clock,
    historyMs: options.historyMs ?? 24 * HOUR_MS,
    historyBytes: options.historyBytes ?? 512 * 1024 * 1024,
  })
  const unsaved = createUnsaved(table)
  const closing = new AbortController()
  let queue: Waiting[] = []
  /** Keys of durable writes that wait: a volatile one must not overtake them. */
  const queuedKeys = new Map<string, number>()
  let scheduled = false
  /** The disk takes a batch, whose revisions are given out but not seen yet. */
  let syncing: Promise<void> | undefined
  /** The disk failed: what it holds of the last batch is unknown. */
  let broken: StorageClosedError | undefined
  let cancelLazy: (() => void) | undefined

  function write(operation: Operation): Promise<Write> {
    if (closing.signal.aborted) return Promise.reject(new StorageClosedError())
    if (broken !== undefined) return Promise.reject(broken)
    const { key, origin } = operation
    const mayOvertake = syncing === undefined && !queuedKeys.has(key)
    if (origin.volatile === true && mayOvertake && table.current < reserved)
      return Promise.resolve(writeVolatile(operation))
    const { promise, resolve, reject } = Promise.withResolvers<Write>()
    queue.push({ operation, resolve, reject })
    queuedKeys.set(key, (queuedKeys.get(key) ?? 0) + 1)
    schedule()
    return promise
  }

  function writeVolatile(operation: Operation): Write {
    const current = table.newest(operation.key)
    if (!isAllowed(operation, current)) return refusal(operation.key)
    const change = table.prepare(operation, table.current + 1, current)
    applyAll([change])
    return { ok: true, revision: change.revision }
  }

  const refusal = (key: string): Write => {
    const { value, revision } = table.get(key)
    return { ok: false, revision, current: value }
  }

  function applyAll(changes: readonly TableChange[]): void {
    for (const change of changes) {
      if (change.origin.volatile === true) unsaved.add(change)
      else unsaved.forget(change.key)
    }
    const now = clock.now()
    table.apply(changes, now)
    table.trim(WINDOW)
    table.trimOlderThan(now.getTime() - WINDOW_MS)
    if (unsaved.existence > 0) cancelLazy ??= clock.schedule(LAZY_MS, saveLazily)
  }

  function saveLazily(): void {
    cancelLazy = undefined
    schedule({ lazy: true })
  }

  let lazyDue = false
  function schedule({ lazy = false } = {}): void {
    lazyDue ||= lazy
    if (scheduled || syncing !== undefined) return
    scheduled = true
    setImmediate(() => {
      scheduled = false
      if (closing.signal.aborted) return
      flush()
      if (queue.length > 0) schedule()
    })
  }

  /** Writes one batch. Nobody sees it half done: until the disk has it, the table is as before. */
  function flush(): void {
    const batch = takeBatch()
    // What the batch's writes find: their predecessors in the batch, or the table.
    const pending = new Map<string, SlabEntry>()
    const changes: TableChange[] = []
    const answers: (Revision | undefined)[] = []
    let revision = table.current
    for (const { operation } of batch) {
      const current = pending.get(operation.key) ?? table.newest(operation.key)
      if (!isAllowed(operation, current)) {
        answers.push(undefined)
        continue
      }
      const change = table.prepare(operation, ++revision, current)
      pending.set(operation.key, change.entry)
      changes.push(change)
      answers.push(revision)
    }
    const give = (): void => {
      if (changes.length > 0) applyAll(changes)
      for (const [at, { operation, resolve }] of batch.entries()) {
        const answer = answers[at]
        resolve(answer === undefined ? refusal(operation.key) : { ok: true, revision: answer })
      }
    }
    const refuse = (error: unknown): void => {
      for (const change of changes) table.discard(change)
      for (const { reject } of batch) reject(error)
    }
    let wrote: boolean
    try {
      wrote = commit(changes, revision)
    } catch (error) {
      refuse(error)
      return
    }
    if (wrote) syncing = sync(give, refuse)
    else give()
  }

  async function sync(give: () => void, refuse: (error: unknown) => void): Promise<void> {
    try {
      await file.sync()
      syncing = undefined
      give()
    } catch (error) {
      syncing = undefined
      refuse(breakOff(error))
    }
    if (!closing.signal.aborted && (queue.length > 0 || lazyDue)) schedule()
  }

  /** What the kernel could not bring to the disk it forgets, so that a later success would say nothing. */
  function breakOff(error: unknown): StorageClosedError {
    broken = new StorageClosedError(
      `Cannot write to "${path}": the disk failed. Check it, then start again; nothing that was acknowledged before is lost`,
      { cause: error },
    )
    log.error('the disk failed: the store can only be read', { path, error })
    for (const { reject } of queue) reject(broken)
    queue = []
    queuedKeys.clear()
    return broken
  }

  function takeBatch(): readonly Waiting[] {
    let bytes = 0
    let length = 0
    while (length < queue.length && length < BATCH_CHANGES && bytes < BATCH_BYTES) {
      const { operation } = queue[length++] as Waiting
      if (operation.type !== 'delete') bytes += operation.value.byteLength
    }
    const batch = queue.slice(0, length)
    queue = queue.slice(length)
    for (const { operation } of batch) {
      const left = (queuedKeys.get(operation.key) ?? 1) - 1
      if (left === 0) queuedKeys.delete(operation.key)
      else queuedKeys.set(operation.key, left)
    }
    return batch
  }

  /** Gives whether there was something to write. */
  function commit(changes: readonly TableChange[], newest: Revision): boolean {
    const durable = changes.filter(({ origin }) => origin.volatile !== true).map(toLogged)
    const saveUnsaved = lazyDue || unsaved.existence >= LAZY_CHANGES
    const lazy = saveUnsaved ? unsaved.take('existence', durable) : []
    const needsRoom = newest + RESERVED_REVISIONS / 2 > reserved
    if (durable.length === 0 && lazy.length === 0 && !needsRoom) {
      lazyDue = false
      return false
    }
    const bound = needsRoom ? newest + RESERVED_REVISIONS : reserved
    try {
      file.transaction(() => {
        let bytes = 0
        for (const rows of [...chunks(lazy, BATCH_CHANGES), durable])
          if (rows.length > 0) bytes += insert(file, rows, clock.now().getTime())
        if (needsRoom) file.writeMeta('reserved', bound)
        fold.step(bytes)
      })
    } catch (error) {
      unsaved.putBack(lazy)
      fold.reset()
      if (lazyDue) log.warn('cannot save volatile objects', { path, error })
      lazyDue = false
      throw error
    }
    fold.committed()
    reserved = bound
    if (saveUnsaved) lazyDue = false
    return true
  }

  async function close(): Promise<void> {
    if (closing.signal.aborted) return
    closing.abort()
    cancelLazy?.()
    await syncing
    while (queue.length > 0) {
      flush()
      await syncing
    }
    const last = unsaved.take('all', [])
    try {
      file.transaction(() => {
        for (const rows of chunks(last, BATCH_CHANGES)) insert(file, rows, clock.now().getTime())
        file.writeMeta('reserved', table.current)
      })
      file.syncNow()
    } catch (error) {
      log.warn('closed the store without saving volatile objects', { path, error })
    } finally {
      file.close()
    }
  }

  const assertOpen = () => {
    if (closing.signal.aborted) throw new StorageClosedError()
  }
  return {
    get: async (key) => {
      assertOpen()
      return table.get(key)
    },
    list: async (range, listOptions) => {
      assertOpen()
      return table.list(range, listOptions)
    },
    create: (key, value, origin) => write({ type: 'create', key, value, origin }),
    update: (key, value, expected, origin) =>
      write({ type: 'update', key, value, expected, origin }),
    delete: (key, expected, origin) => write({ type: 'delete', key, expected, origin }),
    watch: (range, from, signal) => {
      assertOpen()
      return table.watch(range, from, AbortSignal.any([signal, closing.signal]))
    },
    compact: async (before) => table.compact(before),
    revisions: () => ({ current: table.current, compacted: table.compacted }),
    listNow: (range) => table.list(range),
    listen: (prefix, onChanges) => table.listen(prefix, onChanges),
    hold: (entry) => table.hold(entry),
    letGo: (entry) => table.letGo(entry),
    journal: createJournal(file, { assertOpen }),
    sizeBytes: () => file.sizeBytes(),
    close,
  }
}

/** On a full disk the store opens all the same, for reading and for what makes room. */
function reserve(file: StoreFile, current: Revision, log: Logger): Revision {
  const bound = current + RESERVED_REVISIONS
  try {
    file.transaction(() => file.writeMeta('reserved', bound))
    file.syncNow()
    return bound
  } catch (error) {
    if (!(error instanceof StorageFullError)) throw error
    log.warn('the disk is full: the store can only be read', { path: file.path })
    return current
  }
}

/** Fills the table: the folded state, then the log upon it. */
function load(file: StoreFile, table: Table): void {
  const { db, path } = file
  const states = db.prepare('SELECT key, modified, created, crc, value FROM state ORDER BY key')
  for (const row of states.iterate()) {
    const { key, modified, created, crc, value } = row as unknown as StateRow
    if (checksum(key, value) !== crc) throw damaged(path, `the object "${key}" has changed on disk`)
    table.load(key, value, modified, created)
  }
  const rows = db.prepare('SELECT id, crc, header, data FROM log ORDER BY id')
  for (const row of rows.iterate()) {
    const { id, crc, header, data } = row as unknown as DataRow
    if (checksum(header, data) !== crc)
      throw damaged(path, `row ${id} of the log has changed on disk`)
    for (const { type, key, value, revision, created } of decodeRow(header, data)) {
      if (type === 'deleted') table.unload(key)
      else table.load(key, value, revision, created)
      table.startAt(revision)
    }
  }
  table.startAt(Number(file.readMeta('reserved') ?? 1))
}

interface StateRow {
  key: string
  modified: number
  created: number
  crc: number
  value: Uint8Array
}
interface DataRow {
  id: number
  crc: number
  header: string
  data: Uint8Array
}

const toLogged = ({ type, key, revision, entry, before, origin }: TableChange): LoggedChange => ({
  type,
  key,
  revision,
  created: entry.created,
  before: before?.modified ?? 0,
  value: entry.deleted ? NOTHING : entry.value,
  origin,
})

const NOTHING = new Uint8Array(0)

/** Appends one row; gives its bytes. */
function insert(file: StoreFile, changes: readonly LoggedChange[], time: number): number {
  const { header, data, crc } = encodeRow(changes)
  const last = changes.reduce((newest, { revision }) => Math.max(newest, revision), 0)
  file.insertRow.run(last, time, crc, header, data)
  return header.length + data.byteLength
}

function* chunks<T>(all: readonly T[], size: number): Generator<readonly T[]> {
  for (let at = 0; at < all.length; at += size) yield all.slice(at, at + size)
}
