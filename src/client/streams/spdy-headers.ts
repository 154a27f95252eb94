/** Header blocks of SPDY/3.1: pairs in one zlib stream that both sides begin with the same dictionary. */
import { constants, inflateRawSync } from 'node:zlib'

const WINDOW = 32 * 1024
/** A header block may not grow larger. */
const MAX_HEADER_BYTES = 64 * 1024

const WORDS =
  'options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow authorization cache-control connection content-base content-encoding content-language content-length content-location content-md5 content-range content-type date etag expect expires from host if-match if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade user-agent vary via warning www-authenticate method get status 200|OK version HTTP/1.1 url public set-cookie keep-alive origin'
const TAIL =
  '100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.'

/** Words that are likely, each after its length, and a tail without lengths (SPDY/3 §2.6.10.1). */
export const dictionary: Buffer = Buffer.concat([
  ...WORDS.split(' ').flatMap((word) => {
    const text = word.replace('|', ' ')
    return [uint32(text.length), Buffer.from(text)]
  }),
  Buffer.from(TAIL),
])

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

/** RFC 1950 §8.2: how a zlib stream names its dictionary. */
export function adler32(bytes: Uint8Array): number {
  let a = 1
  let b = 0
  for (const byte of bytes) {
    a = (a + byte) % 65521
    b = (b + a) % 65521
  }
  return b * 65536 + a
}

/** Method 8, a window of 32 KB, a preset dictionary: `78 20` is a multiple of 31 as it must be. */
const ZLIB_HEAD = Buffer.concat([Buffer.of(0x78, 0x20), uint32(adler32(dictionary))])
const EMPTY_BLOCK = Buffer.of(0, 0, 0, 0xff, 0xff)

export type SpdyHeaders = Readonly<Record<string, string>>

/** Reads the blocks of one direction: each continues the stream of the ones before. */
export function headerReader(): (block: Uint8Array) => SpdyHeaders {
  let history = dictionary
  let begun = false
  return (block) => {
    const raw = begun ? block : block.subarray(6)
    begun = true
    // A block ends on a byte boundary, so the past is nothing but the window.
    const plain = inflateRawSync(raw, {
      dictionary: history,
      finishFlush: constants.Z_SYNC_FLUSH,
      maxOutputLength: MAX_HEADER_BYTES,
    })
    history = Buffer.concat([history, plain]).subarray(-WINDOW)
    return readPairs(plain)
  }
}

/** Writes the blocks of one direction, stored rather than compressed: they are a few bytes. */
export function headerWriter(): (headers: SpdyHeaders) => Buffer {
  let begun = false
  return (headers) => {
    const plain = writePairs(headers)
    const stored = Buffer.concat([
      Buffer.of(
        0,
        plain.length & 0xff,
        plain.length >> 8,
        ~plain.length & 0xff,
        (~plain.length >> 8) & 0xff,
      ),
      plain,
    ])
    const block = Buffer.concat([...(begun ? [] : [ZLIB_HEAD]), stored, EMPTY_BLOCK])
    begun = true
    return block
  }
}

function readPairs(bytes: Buffer): SpdyHeaders {
  const headers: Record<string, string> = {}
  let at = 4
  const text = (): string => {
    const length = bytes.readUInt32BE(at)
    const end = at + 4 + length
    if (end > bytes.length) throw new Error('SPDY header block is cut off')
    const found = bytes.toString('utf8', at + 4, end)
    at = end
    return found
  }
  for (let left = bytes.readUInt32BE(0); left > 0; left--) {
    const name = text().toLowerCase()
    headers[name] = text().split('\0')[0] ?? ''
  }
  return headers
}

const writePairs = (headers: SpdyHeaders): Buffer => {
  // Names in capitals are refused (SPDY/3 §2.6.10).
  const pairs = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value] as const)
  return Buffer.concat([
    uint32(pairs.length),
    ...pairs.flatMap(([name, value]) => [
      uint32(Buffer.byteLength(name)),
      Buffer.from(name),
      uint32(Buffer.byteLength(value)),
      Buffer.from(value),
    ]),
  ])
}
