/** The SQLite file: its tables, how it is opened and locked, and what its errors mean. */
import { closeSync, fdatasync, fdatasyncSync, openSync } from 'node:fs'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { StorageFullError, StorageOpenError, type OpenFailure } from '../errors.ts'

/** Written into each file; a newer one is refused. Since 2 the values of a row may be compressed. */
const LAYOUT = 2
const READABLE: ReadonlySet<unknown> = new Set(['1', '2'])

const PAGE_BYTES = 4096
/** Folding the write-ahead log into the file stalls for as long as it takes to write it: 256 pages are a few milliseconds. */
const CHECKPOINT_PAGES = 256

const SCHEMA = `
  CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
  -- Every change, a batch a row, until it is folded into state.
  CREATE TABLE log (
    id INTEGER PRIMARY KEY,
    last INTEGER NOT NULL,
    time INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    header TEXT NOT NULL,
    data BLOB NOT NULL
  ) STRICT;
  -- What the changes before the log's first row add up to.
  CREATE TABLE state (
    key TEXT NOT NULL UNIQUE,
    modified INTEGER NOT NULL,
    created INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    value BLOB NOT NULL
  ) STRICT;
`

export interface StoreFile {
  readonly db: DatabaseSync
  readonly path: string
  /** Runs in one transaction: all or nothing. It outlives the process at once, and a loss of power after the next `sync`. */
  transaction(run: () => void): void
  /** Waits until the disk has all transactions before it, without holding up the process. */
  sync(): Promise<void>
  syncNow(): void
  readMeta(key: string): string | undefined
  writeMeta(key: string, value: string | number): void
  readonly insertRow: StatementSync
  sizeBytes(): number
  readonly close: () => void
}

/** Opens or creates the file and takes its lock, which ends with the process. Throws `StorageOpenError`. */
export function openFile(path: string, { maxBytes }: { maxBytes?: number } = {}): StoreFile {
  let db: DatabaseSync | undefined
  try {
    // It holds secrets: only the owner may read it. SQLite gives its side files the same mode.
    closeSync(openSync(path, 'a', 0o600))
    db = new DatabaseSync(path)
    db.exec(`
      PRAGMA page_size = ${PAGE_BYTES};
      PRAGMA locking_mode = EXCLUSIVE;
      PRAGMA journal_mode = WAL;
      PRAGMA synchronous = NORMAL;
      PRAGMA wal_autocheckpoint = ${CHECKPOINT_PAGES};
      PRAGMA journal_size_limit = ${CHECKPOINT_PAGES * PAGE_BYTES * 2};
      PRAGMA temp_store = MEMORY;
      PRAGMA cell_size_check = ON;
    `)
    if (maxBytes !== undefined)
      db.exec(`PRAGMA max_page_count = ${Math.ceil(maxBytes / PAGE_BYTES)}`)
    // From here on nobody else gets in.
    db.exec('BEGIN IMMEDIATE')
    checkLayout(db, path)
    db.exec('COMMIT')
    return storeFile(db, path)
  } catch (error) {
    if (db?.isOpen === true) db.close()
    throw openError(path, error)
  }
}

function checkLayout(db: DatabaseSync, path: string): void {
  const tables = db
    .prepare(`SELECT name FROM sqlite_schema WHERE type = 'table'`)
    .all()
    .map(({ name }) => name)
  if (tables.length === 0) {
    db.exec(SCHEMA)
    db.prepare(`INSERT INTO meta VALUES ('layout', ?)`).run(String(LAYOUT))
    return
  }
  const layout = tables.includes('meta')
    ? db.prepare(`SELECT value FROM meta WHERE key = 'layout'`).get()?.['value']
    : undefined
  if (READABLE.has(layout)) {
    db.prepare(`UPDATE meta SET value = ? WHERE key = 'layout'`).run(String(LAYOUT))
    return
  }
  throw new StorageOpenError(
    'version',
    layout === undefined
      ? `Cannot open the store "${path}": it is a database of another program. Choose another data folder`
      : `Cannot open the store "${path}": its layout is version ${String(layout)}, and this program knows version ${LAYOUT}. ` +
          `Use the version of the program that wrote it, or another data folder`,
  )
}

function storeFile(db: DatabaseSync, path: string): StoreFile {
  const getMeta = db.prepare('SELECT value FROM meta WHERE key = ?')
  const pageCount = db.prepare('PRAGMA page_count')
  const setMeta = db.prepare('INSERT OR REPLACE INTO meta VALUES (?, ?)')
  // SQLite appends to it without waiting for the disk; its locks are on another file.
  const walFile = openSync(`${path}-wal`, 'r+')
  return {
    db,
    path,
    insertRow: db.prepare('INSERT INTO log (last, time, crc, header, data) VALUES (?, ?, ?, ?, ?)'),
    readMeta(key) {
      const row = getMeta.get(key)
      return row === undefined ? undefined : String(row['value'])
    },
    sizeBytes: () => Number(pageCount.get()?.['page_count'] ?? 0) * PAGE_BYTES,
    writeMeta: (key, value) => void setMeta.run(key, String(value)),
    transaction(run) {
      try {
        db.exec('BEGIN IMMEDIATE')
        run()
        db.exec('COMMIT')
      } catch (error) {
        if (db.isTransaction) db.exec('ROLLBACK')
        throw writeError(path, error)
      }
    },
    sync: () =>
      new Promise((resolve, reject) => {
        fdatasync(walFile, (error) => (error === null ? resolve() : reject(error)))
      }),
    syncNow: () => fdatasyncSync(walFile),
    close() {
      closeSync(walFile)
      try {
        db.exec('PRAGMA wal_checkpoint(TRUNCATE)')
      } catch {
        // On a full disk the write-ahead log stays, and the next opening reads it.
      }
      db.close()
    },
  }
}

/** SQLite's result codes: https://sqlite.org/rescode.html */
const BUSY = 5
const READONLY = 8
const IOERR = 10
const CORRUPT = 11
const FULL = 13
const CANTOPEN = 14
const NOTADB = 26

function codeOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('errcode' in error)) return undefined
  return typeof error.errcode === 'number' ? error.errcode & 0xff : undefined
}

const systemCode = (error: unknown): unknown =>
  error instanceof Error && 'code' in error ? error.code : undefined

function writeError(path: string, error: unknown): unknown {
  if (codeOf(error) === FULL || systemCode(error) === 'ENOSPC')
    return new StorageFullError(path, { cause: error })
  return error
}

export const damaged = (path: string, what: string, cause?: unknown): StorageOpenError =>
  new StorageOpenError(
    'damaged',
    `Cannot open the store "${path}": the file is damaged (${what}). ` +
      `Restore it from a backup, or move it away to start with an empty cluster`,
    { cause },
  )

/** What went wrong while opening, in words that say what to do. */
export function openError(path: string, error: unknown): unknown {
  if (error instanceof StorageOpenError) return error
  const fail = (failure: OpenFailure, text: string) =>
    new StorageOpenError(failure, `Cannot open the store "${path}": ${text}`, { cause: error })
  const message = error instanceof Error ? error.message : String(error)
  switch (codeOf(error)) {
    case BUSY:
      return fail(
        'locked',
        'another process has it open. Stop that one first, or choose another data folder',
      )
    case CORRUPT:
    case NOTADB:
      return damaged(path, message, error)
    case FULL:
      return new StorageFullError(path, { cause: error })
    case READONLY:
    case CANTOPEN:
      return fail('permission', `${message}. Check that the folder exists and may be written`)
    case IOERR:
      return fail('unavailable', `${message}. Check the disk`)
    default:
  }
  switch (systemCode(error)) {
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return fail(
        'permission',
        'it may not be written. Run as its owner, or choose another data folder',
      )
    case 'ENOENT':
    case 'ENOTDIR':
    case 'EISDIR':
      return fail('unavailable', `${message}. Check that the folder exists`)
    case 'ENOSPC':
      return new StorageFullError(path, { cause: error })
    default:
      return error
  }
}
