/** A store whose values lie in another form than they are read and written in: encrypted, for example. */
import { isEmbedded, type EmbeddedChange, type EmbeddedStorage } from './embedded.ts'
import type { Change, Entry, Read, Storage, Write } from './storage.ts'

/** What values become on their way into the store, and back. */
export interface ValueTransform {
  /** What is stored. The key belongs to it: a value that was moved to another key cannot be read. */
  toStored(key: string, value: Uint8Array): Uint8Array
  /** What was written; the same array when it is stored as it is. Throws when it cannot be read. */
  fromStored(key: string, stored: Uint8Array): Uint8Array
}

/** Everything that the store offers, over values in another form. An embedded store remains one. */
export function transformedStorage(inner: Storage, transform: ValueTransform): Storage {
  /** A cache and a watcher share what was read of the same bytes. */
  const read = new WeakMap<Uint8Array, Uint8Array>()
  const valueOf = (key: string, stored: Uint8Array): Uint8Array => {
    let value = read.get(stored)
    if (value === undefined) {
      value = transform.fromStored(key, stored)
      if (value !== stored) read.set(stored, value)
    }
    return value
  }
  const entryOf = (entry: Entry): Entry => {
    const { key, value: stored, modified, created } = entry
    const value = valueOf(key, stored)
    // The store's own entry where it can be: the store may move its bytes, a view of them would hold the old place.
    return value === stored ? entry : { key, value, modified, created }
  }
  const written = (write: Write): Write =>
    write.ok || write.current === undefined ? write : { ...write, current: entryOf(write.current) }
  const store = (
    key: string,
    value: Uint8Array,
    write: (stored: Uint8Array) => Promise<Write>,
  ): Promise<Write> => {
    let stored: Uint8Array
    try {
      stored = transform.toStored(key, value)
    } catch (error) {
      return Promise.reject(error as Error)
    }
    return write(stored).then(written)
  }
  /** Field by field: a store's own entries and changes may have theirs on their class. */
  const changeOf = ({ type, key, revision, value, previous, origin }: Change): Change => ({
    type,
    key,
    revision,
    value: valueOf(key, value),
    previous: previous && valueOf(key, previous),
    origin,
  })
  const listed = ({ value, revision }: Read<readonly Entry[]>): Read<readonly Entry[]> => ({
    value: value.map(entryOf),
    revision,
  })

  const storage: Storage = {
    async get(key) {
      const { value, revision } = await inner.get(key)
      return { value: value && entryOf(value), revision }
    },
    list: async (range, options) => listed(await inner.list(range, options)),
    create: (key, value, origin) =>
      store(key, value, (stored) => inner.create(key, stored, origin)),
    update: (key, value, expected, origin) =>
      store(key, value, (stored) => inner.update(key, stored, expected, origin)),
    delete: (key, expected, origin) => inner.delete(key, expected, origin).then(written),
    async *watch(range, from, signal) {
      for await (const changes of inner.watch(range, from, signal)) yield changes.map(changeOf)
    },
    compact: (before) => inner.compact(before),
    revisions: () => inner.revisions(),
    close: () => inner.close(),
  }
  if (!isEmbedded(inner)) return storage
  const embedded: EmbeddedStorage = {
    ...storage,
    listNow: (range) => listed(inner.listNow(range)),
    listen: (prefix, onChanges) =>
      inner.listen(prefix, (changes) => onChanges(changes.map(embeddedOf))),
    hold: (entry) => inner.hold(entry),
    letGo: (entry) => inner.letGo(entry),
  }
  const embeddedOf = (change: EmbeddedChange): EmbeddedChange => {
    const entry = entryOf(change.entry)
    const before = change.before && entryOf(change.before)
    return entry === change.entry && before === change.before
      ? change
      : { ...changeOf(change), entry, before }
  }
  return embedded
}
