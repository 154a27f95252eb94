/**
 * Keeps the log bounded: its oldest rows are folded into the state table, a few changes with every
 * commit and inside its transaction. So folding costs no fsync of its own, and an idle store folds nothing.
 */
import type { Clock } from '#base'
import { checksum, decodeRow, type LoggedChange } from './format.ts'
import type { StoreFile } from './file.ts'

export interface Folder {
  /** Within a transaction that added so many bytes to the log. */
  step(addedBytes: number): void
  /** The transaction is durable. */
  committed(): void
  /** The transaction failed: what the step did did not happen. */
  reset(): void
}

export interface FoldOptions {
  readonly clock: Clock
  readonly historyMs: number
  readonly historyBytes: number
}

/** At most this many objects a commit: one costs about 20 µs. */
const STEP_CHANGES = 128
const STEP_MS = 3

interface Oldest {
  readonly id: number
  readonly last: number
  readonly time: number
  readonly bytes: number
}

export function createFolder(
  file: StoreFile,
  { clock, historyMs, historyBytes }: FoldOptions,
): Folder {
  const { db } = file
  const oldestRow = db.prepare(
    'SELECT id, last, time, octet_length(header) + octet_length(data) AS bytes FROM log ORDER BY id LIMIT 1',
  )
  const readRow = db.prepare('SELECT header, data FROM log WHERE id = ?')
  const dropRow = db.prepare('DELETE FROM log WHERE id = ?')
  const put = db.prepare(`
    INSERT INTO state (key, modified, created, crc, value) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (key) DO UPDATE SET
      modified = excluded.modified, created = excluded.created, crc = excluded.crc, value = excluded.value`)
  const drop = db.prepare('DELETE FROM state WHERE key = ?')
  const total = db
    .prepare('SELECT coalesce(sum(octet_length(header) + octet_length(data)), 0) AS bytes FROM log')
    .get()

  let logBytes = Number(total?.['bytes'])
  let durableBytes = logBytes
  let oldest: Oldest | undefined
  /** What is left of the oldest row. Doing part of it again after a crash does no harm. */
  let rest: LoggedChange[] | undefined

  function begin({ id, last }: Oldest): LoggedChange[] {
    const { header, data } = readRow.get(id) as unknown as { header: string; data: Uint8Array }
    // A row of volatile objects may hold older revisions than the rows before it.
    file.writeMeta('folded', Math.max(last, Number(file.readMeta('folded') ?? 1)))
    // Only the last change of a key counts.
    const newest = new Map<string, LoggedChange>()
    for (const change of decodeRow(header, data)) newest.set(change.key, change)
    return [...newest.values()]
  }

  function foldSome(changes: LoggedChange[], deadline: number): number {
    let count = 0
    while (changes.length > 0 && count < STEP_CHANGES && clock.monotonic() < deadline) {
      const { type, key, revision, created, value } = changes.pop() as LoggedChange
      count++
      if (type === 'deleted') drop.run(key)
      else put.run(key, revision, created, checksum(key, value), value)
    }
    return count
  }

  const isDue = (row: Oldest) =>
    logBytes > historyBytes || row.time < clock.now().getTime() - historyMs

  return {
    step(addedBytes) {
      logBytes += addedBytes
      const deadline = clock.monotonic() + STEP_MS
      // Folds faster than the log grows, and never for long.
      let budget = STEP_CHANGES
      let folded = 0
      while (budget > 0 && folded <= 2 * addedBytes && clock.monotonic() < deadline) {
        oldest ??= oldestRow.get() as unknown as Oldest | undefined
        if (oldest === undefined || (rest === undefined && !isDue(oldest))) return
        rest ??= begin(oldest)
        budget -= foldSome(rest, deadline)
        if (rest.length > 0) return
        dropRow.run(oldest.id)
        logBytes -= oldest.bytes
        folded += oldest.bytes
        oldest = undefined
        rest = undefined
      }
    },
    committed() {
      durableBytes = logBytes
    },
    reset() {
      logBytes = durableBytes
      oldest = undefined
      rest = undefined
    },
  }
}
