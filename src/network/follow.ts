/** How parts of the network learn of the API's objects: an informer, or a test's own list. */
import type { Informer } from '#client'
import type { KubeObject } from '#machinery'

/** An object as it is now, or as it was last. */
export type Change<T> =
  | { readonly type: 'set'; readonly object: T }
  | { readonly type: 'gone'; readonly object: T }

/**
 * Tells of every object that is there, then of every change in order, until the signal aborts. Resolves when all that
 * was there at the beginning has been told.
 */
export type Follow<T> = (
  onChange: (change: Change<T>) => void,
  signal: AbortSignal,
) => Promise<void>

/** What an informer shows, as a feed. */
export function followInformer<T extends KubeObject>(informer: Informer<T>): Follow<T> {
  return async (onChange, signal) => {
    if (signal.aborted) return
    const end = informer.onChange((current, old) => {
      if (current !== undefined) onChange({ type: 'set', object: current })
      else if (old !== undefined) onChange({ type: 'gone', object: old })
    })
    signal.addEventListener('abort', end, { once: true })
    await informer.synced
  }
}
