/**
 * How a batch of changes lies in one row of the log: a small JSON header, and the values one after the
 * other. So a reader that looks for keys or times never touches the values. Objects that are written
 * together are much alike: compressed, a long batch is a tenth of its size for the disk, the write-ahead
 * log and the history.
 */
import { constants, crc32, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import type { Change, Origin, Revision } from '../storage.ts'

/** One change as the log knows it. A deletion has no value: the last one is in an earlier change. */
export interface LoggedChange {
  readonly type: Change['type']
  readonly key: string
  readonly revision: Revision
  readonly created: Revision
  /** Revision of the state before; 0 when there was none. */
  readonly before: Revision
  readonly value: Uint8Array
  readonly origin: Origin
}

export interface LogRow {
  readonly header: string
  readonly data: Uint8Array
  readonly crc: number
}

type Header = {
  readonly origins: readonly HeaderOrigin[]
  readonly changes: readonly HeaderChange[]
  /** How the values are compressed. */
  readonly packed?: 'zstd'
}

/** Compressing has a cost of its own, of some 30 µs: it pays from here on. */
const PACK_FROM_BYTES = 4096
const FAST = { params: { [constants.ZSTD_c_compressionLevel]: 1 } }

type HeaderOrigin = readonly [actor: string, cause: string | null]
type HeaderChange = readonly [
  type: 0 | 1 | 2,
  key: string,
  revision: number,
  created: number,
  before: number,
  length: number,
  origin: number,
  time: number,
  volatile: 0 | 1,
]

const TYPES = ['created', 'updated', 'deleted'] as const
const NUMBER_OF = { created: 0, updated: 1, deleted: 2 } as const

export function encodeRow(batch: readonly LoggedChange[]): LogRow {
  const origins: HeaderOrigin[] = []
  let bytes = 0
  const changes: HeaderChange[] = []
  const values: Uint8Array[] = []
  for (const { type, key, revision, created, before, value, origin } of batch) {
    const at = placeOf(origins, origin)
    const length = type === 'deleted' ? 0 : value.byteLength
    bytes += length
    if (length > 0) values.push(value)
    changes.push([
      NUMBER_OF[type],
      key,
      revision,
      created,
      before,
      length,
      at,
      origin.time,
      origin.volatile === true ? 1 : 0,
    ])
  }
  const packed = bytes < PACK_FROM_BYTES ? undefined : zstdCompressSync(joined(values, bytes), FAST)
  // What is encrypted does not become smaller.
  const pays = packed !== undefined && packed.byteLength < bytes
  const data = pays ? packed : Buffer.concat(values, bytes)
  const header = JSON.stringify({
    origins,
    changes,
    ...(pays ? { packed: 'zstd' } : {}),
  } satisfies Header)
  return { header, data, crc: checksum(header, data) }
}

/** Among so many that came last. */
const ORIGINS_COMPARED = 8

/** Where in the header it stands. What is written together is either all of one origin, or each of its own. */
function placeOf(origins: HeaderOrigin[], origin: Origin): number {
  const { actor } = origin
  const cause = origin.cause ?? null
  const last = Math.max(0, origins.length - ORIGINS_COMPARED)
  for (let at = origins.length - 1; at >= last; at--) {
    const [knownActor, knownCause] = origins[at]!
    if (knownActor === actor && knownCause === cause) return at
  }
  return origins.push([actor, cause]) - 1
}

/** Up to here, what is to be compressed is put together in the same place every time: new memory is slow to come by. */
const DESK_BYTES = 1024 * 1024
let desk = Buffer.alloc(0)

/** It is the caller's until the next call. */
function joined(values: readonly Uint8Array[], bytes: number): Uint8Array {
  if (bytes > DESK_BYTES) return Buffer.concat(values, bytes)
  if (desk.length < bytes)
    desk = Buffer.allocUnsafeSlow(Math.min(DESK_BYTES, Math.max(bytes, 2 * desk.length)))
  let at = 0
  for (const value of values) {
    desk.set(value, at)
    at += value.byteLength
  }
  return desk.subarray(0, bytes)
}

/** The changes of a row; values are views of `data`. Without data, values are empty. */
export function* decodeRow(header: string, data?: Uint8Array): Generator<LoggedChange> {
  const { origins, changes, packed } = JSON.parse(header) as Header
  const plain = data === undefined || packed === undefined ? data : unpack(data, changes)
  let offset = 0
  for (const [type, key, revision, created, before, length, at, time, volatile] of changes) {
    const [actor, cause] = origins[at] as HeaderOrigin
    yield {
      type: TYPES[type],
      key,
      revision,
      created,
      before,
      value: plain?.subarray(offset, offset + length) ?? NOTHING,
      origin: {
        actor,
        time,
        ...(cause === null ? undefined : { cause }),
        ...(volatile === 1 ? { volatile: true } : undefined),
      },
    }
    offset += length
  }
}

function unpack(data: Uint8Array, changes: readonly HeaderChange[]): Uint8Array {
  const length = changes.reduce((sum, change) => sum + change[5], 0)
  // In one piece.
  return zstdDecompressSync(data, { maxOutputLength: length, chunkSize: length + 64 })
}

const NOTHING = new Uint8Array(0)

export const checksum = (text: string, data: Uint8Array): number => crc32(data, crc32(text))
