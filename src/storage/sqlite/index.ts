export { openSqliteStorage, type SqliteStorage, type SqliteStorageOptions } from './sqlite.ts'
export type { Journal, JournalEntry, JournalQuery } from './journal.ts'
