/** Writes of one object that lost a race go on one after another. */
import type { Collection } from '../collection.ts'

const lines = new WeakMap<Collection, Map<string, Promise<unknown>>>()

/** Work that was too late goes on until it gives something: one after another for each key, in the order in which they came. */
export async function inTurn<T>(
  collection: Collection,
  key: string,
  signal: AbortSignal,
  round: () => Promise<T | undefined>,
): Promise<T> {
  const work = async (): Promise<T> => {
    for (;;) {
      signal.throwIfAborted()
      const done = await round()
      if (done !== undefined) return done
    }
  }
  let line = lines.get(collection)
  if (line === undefined) lines.set(collection, (line = new Map()))
  const mine = (line.get(key) ?? Promise.resolve()).then(work)
  const over = mine.catch(() => undefined)
  line.set(key, over)
  try {
    return await mine
  } finally {
    if (line.get(key) === over) line.delete(key)
  }
}
