/** What a store in the same process offers beyond the contract: reads that do not wait, and changes as they happen. */
import type { Change, Entry, Range, Read, Storage } from './storage.ts'

/** A store whose data lies in this process. */
export interface EmbeddedStorage extends Storage {
  /** The newest entries, at once. */
  listNow(range: Range): Read<readonly Entry[]>
  /** Calls back within the commit, before the writers hear of it; the returned function ends it. */
  listen(prefix: string, onChanges: (changes: readonly EmbeddedChange[]) => void): () => void
  /**
   * Somebody goes on using this entry when history has forgotten it, and says when that is over. Bytes
   * that nobody holds keep the large buffer they lie in from being given back for as long as they are referred to.
   */
  hold(entry: Entry): void
  letGo(entry: Entry): void
}

/** A change that also names the store's own entries, so that a cache can share their bytes. */
export interface EmbeddedChange extends Change {
  readonly entry: Entry
  readonly before: Entry | undefined
}

/** Whether the store offers what only one in the same process can. */
export const isEmbedded = (storage: Storage): storage is EmbeddedStorage =>
  'listen' in storage && 'listNow' in storage
