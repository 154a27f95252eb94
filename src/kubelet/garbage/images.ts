/** Which images a node gives up when its disk fills. */
import type { Image } from '../runtime.ts'

/** When an image was first seen, and last in use, on the monotonic clock. */
export interface ImageRecord {
  readonly seenMs: number
  readonly usedMs: number
}

export type ImageRecords = ReadonlyMap<string, ImageRecord>

/** Looks at what is there now. Images that were there before the kubelet are as old as can be. */
export function recordImages(
  before: ImageRecords | undefined,
  images: readonly Image[],
  inUse: ReadonlySet<string>,
  nowMs: number,
): ImageRecords {
  return new Map(
    images.map((image): [string, ImageRecord] => {
      const known = before?.get(image.id)
      const seenMs = known?.seenMs ?? (before === undefined ? Number.NEGATIVE_INFINITY : nowMs)
      const usedMs = isUsed(image, inUse) ? nowMs : (known?.usedMs ?? Number.NEGATIVE_INFINITY)
      return [image.id, { seenMs, usedMs }]
    }),
  )
}

/** By its id, or by a name. */
const isUsed = ({ id, tags, digests }: Image, inUse: ReadonlySet<string>): boolean =>
  [id, ...tags, ...digests].some((name) => inUse.has(name))

/** So young, an image may be about to be used. */
const LEAST_AGE_MS = 2 * 60_000

/**
 * The ones that were not used for longest, until so many bytes are freed. Never what is used, or pinned; nor what
 * has no digest of a registry: it was put here by hand, and could not be pulled again.
 */
export function imagesToRemove(
  images: readonly Image[],
  records: ImageRecords,
  {
    inUse,
    nowMs,
    bytes,
  }: { readonly inUse: ReadonlySet<string>; readonly nowMs: number; readonly bytes: number },
): readonly Image[] {
  const never: ImageRecord = { seenMs: nowMs, usedMs: nowMs }
  const recordOf = ({ id }: Image): ImageRecord => records.get(id) ?? never
  const candidates = images
    .filter((image) => {
      const { seenMs, usedMs } = recordOf(image)
      return (
        !image.pinned &&
        image.digests.length > 0 &&
        !isUsed(image, inUse) &&
        usedMs < nowMs &&
        nowMs - seenMs >= LEAST_AGE_MS
      )
    })
    .toSorted((a, b) => {
      const [one, other] = [recordOf(a), recordOf(b)]
      return order(one.usedMs, other.usedMs) || order(one.seenMs, other.seenMs)
    })
  const chosen: Image[] = []
  let freed = 0
  for (const image of candidates) {
    if (freed >= bytes) break
    chosen.push(image)
    freed += image.sizeBytes
  }
  return chosen
}

const order = (a: number, b: number): number => (a === b ? 0 : a < b ? -1 : 1)

/** Percent of the disk in use: images go from the high mark on, until the low one. */
export interface DiskMarks {
  readonly highPercent: number
  readonly lowPercent: number
  /** A disk with so much room is not too full, whatever the percentage says: others may have filled it. */
  readonly enoughBytes: number
}
export const DEFAULT_MARKS: DiskMarks = {
  highPercent: 85,
  lowPercent: 80,
  enoughBytes: 10 * 2 ** 30,
}

/** 0 while the disk is not too full. */
export function bytesToFree(
  { availableBytes, totalBytes }: { readonly availableBytes: number; readonly totalBytes: number },
  { highPercent, lowPercent, enoughBytes }: DiskMarks,
): number {
  if (totalBytes === 0) return 0
  const usedPercent = 100 - Math.floor((availableBytes * 100) / totalBytes)
  if (usedPercent < highPercent) return 0
  const wanted = Math.min((totalBytes * (100 - lowPercent)) / 100, enoughBytes)
  return Math.max(0, Math.floor(wanted - availableBytes))
}
