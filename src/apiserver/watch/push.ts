/** Changes written to their watcher as they come: a thousand watchers cost a thousand writes, and little else. */
import type { Clock, Counter } from '#base'
import type { KubeObject } from '#machinery'
import type { CacheWatch, Delivery } from '#storage'
import type { Outlet } from '../exchange.ts'
import { CHUNK_BYTES, type Form } from './frames.ts'

/** Bookmarks keep a client's revision young while nothing happens. */
export const BOOKMARK_MS = 60_000

export interface Changes {
  readonly changes: Pick<CacheWatch<KubeObject>, 'take' | 'listen' | 'hasEnded' | 'progress'>
  readonly form: Form
  readonly allowBookmarks: boolean
  readonly clock: Pick<Clock, 'schedule'>
  readonly sent: Counter
}

/** Resolves when the watch has ended or its reader is gone; throws what `CacheWatch.take` throws. */
export async function pushChanges(
  { changes, form, allowBookmarks, clock, sent }: Changes,
  outlet: Outlet,
  isFirst: boolean,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  let first = isFirst
  let batch: readonly Delivery<KubeObject>[] = []
  let at = 0
  let isBehind = false
  let isBookmarkDue = false
  let cancelTimer: () => void = () => undefined

  /** The next deliveries of the batch, together as far as a chunk goes. */
  const nextChunk = (): Uint8Array => {
    const begin = form.delivery(batch[at++]!, first)
    first = false
    if (at === batch.length) return begin
    const parts = [begin]
    for (let size = begin.length; at < batch.length && size < CHUNK_BYTES; at++) {
      const part = form.delivery(batch[at]!, false)
      parts.push(part)
      size += part.length
    }
    return Buffer.concat(parts)
  }
  const write = (bytes: Uint8Array): void => {
    if (outlet.write(bytes)) return
    isBehind = true
    outlet.drained().then(() => {
      isBehind = false
      flush()
    }, reject)
  }
  const flush = (): void => {
    try {
      while (!isBehind) {
        if (outlet.isClosed) return resolve()
        if (at === batch.length) {
          batch = changes.take() ?? []
          at = 0
          sent.add(batch.length)
        }
        if (batch.length > 0) write(nextChunk())
        else if (changes.hasEnded) return resolve()
        else if (isBookmarkDue) {
          isBookmarkDue = false
          startTimer()
          write(form.bookmark({ revision: changes.progress, endsInitial: false }, first))
          first = false
        } else return
      }
    } catch (error) {
      reject(error)
    }
  }
  const startTimer = (): void => {
    cancelTimer = clock.schedule(BOOKMARK_MS, () => {
      isBookmarkDue = true
      flush()
    })
  }
  if (allowBookmarks) startTimer()
  changes.listen(flush)
  try {
    await promise
  } finally {
    cancelTimer()
  }
}
