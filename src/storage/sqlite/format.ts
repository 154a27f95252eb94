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
  const known = new Map<string, number>()
  const changes: HeaderChange[] = []
  const values: Uint8Array[] = []
  for (const { type, key, revision, created, before, value, origin } of batch) {
    const id = `${origin.actor}\n${origin.cause ?? ''}`
    let at = known.get(id)
    if (at === undefined) {
      at = origins.length
      known.set(id, at)
      origins.push([origin.actor, origin.cause ?? null])
    }
    const length = type === 'deleted' ? 0 : value.byteLength
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
  const plain = Buffer.concat(values)
  const packed = plain.byteLength < PACK_FROM_BYTES ? plain : zstdCompressSync(plain, FAST)
  // What is encrypted does not become smaller.
  const pays = packed.byteLength < plain.byteLength
  const data = pays ? packed : plain
  const header = JSON.stringify({
    origins,
    changes,
    ...(pays ? { packed: 'zstd' } : {}),
  } satisfies Header)
  return { header, data, crc: checksum(header, data) }
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
