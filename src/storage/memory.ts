/** A store for tests and simulations: all in memory, full history until it is compacted, forks in milliseconds. */
import type { Env } from '#base'
import { StorageClosedError } from './errors.ts'
import type { EmbeddedStorage } from './embedded.ts'
import { isAllowed, Table, type Operation } from './table.ts'
import type { Write } from './storage.ts'

/** The clock, and how far back history goes. */
export interface MemoryStorageOptions extends Pick<Env, 'clock'> {
  /** Forget history older than this; absent means that only `compact` forgets. */
  readonly historyMs?: number
}

/** A store that can be forked. */
export interface MemoryStorage extends EmbeddedStorage {
  /** A store with the same content and history, that goes its own way from here: nothing is copied until it is changed. */
  fork(): MemoryStorage
}

/** Nothing outlives the process. */
export const createMemoryStorage = (options: MemoryStorageOptions): MemoryStorage =>
  memoryStorage(new Table(), options)

function memoryStorage(table: Table, options: MemoryStorageOptions): MemoryStorage {
  const { clock, historyMs } = options
  const closing = new AbortController()
  const assertOpen = () => {
    if (closing.signal.aborted) throw new StorageClosedError()
  }

  function write(operation: Operation): Write {
    assertOpen()
    const current = table.newest(operation.key)
    if (!isAllowed(operation, current)) {
      const { value, revision } = table.get(operation.key)
      return { ok: false, revision, current: value }
    }
    const revision = table.current + 1
    table.apply([table.prepare(operation, revision, current)], clock.now())
    if (historyMs !== undefined) table.trimOlderThan(clock.now().getTime() - historyMs)
    return { ok: true, revision }
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
    create: async (key, value, origin) => write({ type: 'create', key, value, origin }),
    update: async (key, value, expected, origin) =>
      write({ type: 'update', key, value, expected, origin }),
    delete: async (key, expected, origin) => write({ type: 'delete', key, expected, origin }),
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
    fork: () => memoryStorage(table.fork(), options),
    close: async () => closing.abort(),
  }
}
