/** The past as the log keeps it: who changed what, when and why. */
import { CompactedError, type Entry, type Range, type Revision } from '../storage.ts'
import type { StoreFile } from './file.ts'
import { decodeRow, type LoggedChange } from './format.ts'

/** Which part of the history is asked for. */
export interface JournalQuery {
  /** Only this key, or keys that start with this. */
  readonly key?: string
  readonly prefix?: string
  /** Revisions after the first and up to the second. */
  readonly after?: Revision
  readonly until?: Revision
  /** Milliseconds since 1970, both inclusive. */
  readonly fromTime?: number
  readonly toTime?: number
  /** Newest first. */
  readonly descending?: boolean
  /** Without values it is much faster. */
  readonly values?: boolean
}

/** A change of the past. A deletion has no value; `before` names the revision that had the last one. */
export type JournalEntry = LoggedChange

/** Reads the history on disk: it reaches further back than watches do. */
export interface Journal {
  /** Matching changes in order. Heartbeats are mostly not there: the disk never saw them. */
  changes(query?: JournalQuery): AsyncIterable<JournalEntry>
  /** What was there at a revision. Throws `CompactedError` when history does not reach back so far. */
  listAt(range: Range, at: Revision): Promise<readonly Entry[]>
  /** `listAt` can read this revision and all after it. */
  oldest(): Revision
}

/** Rows read at a time: between two pages others get their turn. */
const PAGE = 16

export function createJournal(
  file: StoreFile,
  { assertOpen }: { assertOpen: () => void },
): Journal {
  const { db } = file
  const select = (order: 'ASC' | 'DESC', columns: string) =>
    db.prepare(`
      SELECT ${columns} FROM log
      WHERE id ${order === 'ASC' ? '>' : '<'} ? AND last > ? AND time >= ? AND instr(header, ?) > 0
      ORDER BY id ${order} LIMIT ${PAGE}`)
  const statements = {
    ASC: { plain: select('ASC', 'id, header'), full: select('ASC', 'id, header, data') },
    DESC: { plain: select('DESC', 'id, header'), full: select('DESC', 'id, header, data') },
  }
  const oldest = (): Revision => Number(file.readMeta('folded') ?? 1)

  async function* changes(query: JournalQuery = {}): AsyncGenerator<JournalEntry> {
    const order = query.descending === true ? 'DESC' : 'ASC'
    const statement = statements[order][query.values === false ? 'plain' : 'full']
    // SQLite finds rows that name the key without our parsing them.
    const needle = JSON.stringify(query.key ?? query.prefix ?? '').slice(1, -1)
    let id = order === 'ASC' ? 0 : Number.MAX_SAFE_INTEGER
    for (;;) {
      assertOpen()
      const page = statement.all(id, query.after ?? 0, query.fromTime ?? 0, needle) as unknown as {
        id: number
        header: string
        data?: Uint8Array
      }[]
      for (const row of page) {
        const found = [...decodeRow(row.header, row.data)].filter((change) =>
          matches(change, query),
        )
        if (order === 'DESC') found.reverse()
        yield* found
        id = row.id
      }
      if (page.length < PAGE) return
      await new Promise((resolve) => setImmediate(resolve))
    }
  }

  async function listAt({ prefix, after }: Range, at: Revision): Promise<readonly Entry[]> {
    if (at < oldest()) throw new CompactedError(at, oldest())
    const found = new Map<string, Entry>()
    const isWanted = (key: string) => key.startsWith(prefix) && (after === undefined || key > after)
    const states = db
      .prepare('SELECT key, modified, created, value FROM state WHERE key >= ? ORDER BY key')
      .iterate(prefix)
    for (const row of states) {
      const entry = row as unknown as Entry
      if (!entry.key.startsWith(prefix)) break
      // A row that is being folded may be ahead of the revision: the log has the right one.
      if (isWanted(entry.key) && entry.modified <= at) found.set(entry.key, entry)
    }
    for await (const { type, key, revision, created, value } of changes({ prefix, until: at })) {
      if (!isWanted(key)) continue
      if (type === 'deleted') found.delete(key)
      else found.set(key, { key, value, modified: revision, created })
    }
    return [...found.values()].toSorted((a, b) => (a.key < b.key ? -1 : 1))
  }

  return { changes, listAt, oldest }
}

function matches(
  { key, revision, origin: { time } }: LoggedChange,
  {
    key: only,
    prefix = '',
    after = 0,
    until = Infinity,
    fromTime = 0,
    toTime = Infinity,
  }: JournalQuery,
): boolean {
  if (only === undefined ? !key.startsWith(prefix) : key !== only) return false
  return revision > after && revision <= until && time >= fromTime && time <= toTime
}
