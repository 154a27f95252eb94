/** Read your own writes: a key waits until the caches show what was last done for it. */
import type { Clock } from '#base'
import type { Informer } from '#client'
import { keyOf, type KubeObject, type ResourceRef } from '#machinery'

/** Of one key: what was done for it. */
export interface Written {
  /** The cache must show this version of the object, or a later one. */
  written(ref: ResourceRef, object: KubeObject): void
  /** The cache must show that it is gone, or on its way. */
  removed(ref: ResourceRef, object: KubeObject): void
}

export interface Expectations {
  /** Undefined when the caches show all that was done for the key; otherwise the longest to wait, in milliseconds. */
  unmet(key: string): number | undefined
  for(key: string): Written
  /** To be called when a cache shows more. */
  readonly progressed: () => void
}

/** A write that was never seen, because the watch was cut at the wrong moment, is believed after this. */
const PATIENCE_MS = 30_000

interface Expected {
  readonly until: number
  readonly isMet: () => boolean
}

export function createExpectations({
  clock,
  informerOf,
  wake,
}: {
  readonly clock: Pick<Clock, 'monotonic'>
  /** Undefined for resources that are not looked at. */
  readonly informerOf: (
    ref: ResourceRef,
  ) => Pick<Informer<KubeObject>, 'get' | 'revision'> | undefined
  /** Called with a key that had to wait and need not any longer. */
  readonly wake: (key: string) => void
}): Expectations {
  const expected = new Map<string, Expected[]>()
  const waiting = new Set<string>()

  const remember = (key: string, isMet: () => boolean): void => {
    if (isMet()) return
    const one = { until: clock.monotonic() + PATIENCE_MS, isMet }
    const list = expected.get(key)
    if (list === undefined) expected.set(key, [one])
    else list.push(one)
  }
  const leftOf = (key: string): readonly Expected[] => {
    const list = expected.get(key)
    if (list === undefined) return []
    const left = list.filter(({ until, isMet }) => clock.monotonic() < until && !isMet())
    if (left.length === 0) expected.delete(key)
    else expected.set(key, left)
    return left
  }

  return {
    unmet(key) {
      const [first] = leftOf(key)
      if (first === undefined) {
        waiting.delete(key)
        return undefined
      }
      waiting.add(key)
      return Math.max(1, first.until - clock.monotonic())
    },
    for: (key) => ({
      written(ref, { metadata }) {
        const informer = informerOf(ref)
        const revision = Number(metadata.resourceVersion)
        if (informer !== undefined && Number.isFinite(revision))
          remember(key, () => informer.revision >= revision)
      },
      removed(ref, object) {
        const informer = informerOf(ref)
        if (informer === undefined) return
        remember(key, () => {
          const seen = informer.get(keyOf(object))?.metadata
          return seen?.uid !== object.metadata.uid || seen.deletionTimestamp !== undefined
        })
      },
    }),
    progressed() {
      for (const key of waiting)
        if (leftOf(key).length === 0) {
          waiting.delete(key)
          wake(key)
        }
    },
  }
}
