/** DNS messages as bytes: what must be known of a message that is passed on without being understood (RFC 1035 §4). */

import { decode, type Packet } from 'dns-packet'

const HEADER_BYTES = 12
const TYPE_SOA = 6
const TYPE_OPT = 41

export interface Survey {
  readonly rcode: number
  readonly truncated: boolean
  readonly answers: number
  /** Where the times to live are. */
  readonly ttlOffsets: readonly number[]
  /** Seconds it may be kept; undefined: not at all. */
  readonly keepSeconds: number | undefined
}

/** Undefined when the message is damaged. */
export function survey(message: Uint8Array): Survey | undefined {
  if (message.length < HEADER_BYTES) return undefined
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength)
  const counts = [4, 6, 8, 10].map((at) => view.getUint16(at))
  const [questions = 0, answers = 0, authorities = 0, additionals = 0] = counts
  const rcode = view.getUint16(2) & 0xf
  let at = HEADER_BYTES
  try {
    for (let i = 0; i < questions; i++) at = skipName(view, at) + 4
    const ttlOffsets: number[] = []
    let shortest = Number.POSITIVE_INFINITY
    let negative: number | undefined
    for (let i = 0; i < answers + authorities + additionals; i++) {
      at = skipName(view, at)
      const type = view.getUint16(at)
      const length = view.getUint16(at + 8)
      if (type !== TYPE_OPT) {
        const ttl = view.getUint32(at + 4)
        ttlOffsets.push(at + 4)
        shortest = Math.min(shortest, ttl)
        // The last number of a start of authority: how long a no holds (RFC 2308 §5).
        if (type === TYPE_SOA) negative = Math.min(ttl, view.getUint32(at + 10 + length - 4))
      }
      at += 10 + length
    }
    if (at > message.length) return undefined
    const keepSeconds =
      answers > 0 && rcode === 0 ? shortest : rcode === 0 || rcode === 3 ? negative : undefined
    return {
      rcode,
      truncated: (view.getUint16(2) & 0x0200) !== 0,
      answers,
      ttlOffsets,
      keepSeconds,
    }
  } catch (error) {
    if (error instanceof RangeError) return undefined
    throw error
  }
}

function skipName(view: DataView, from: number): number {
  for (let at = from; ;) {
    const length = view.getUint8(at)
    if (length === 0) return at + 1
    if (length >= 0xc0) return at + 2
    at += length + 1
  }
}

/** The message with another identifier and times to live that have gone down. */
export function renew(
  message: Uint8Array,
  { id, ttlOffsets, ageSeconds }: { id: number; ttlOffsets: readonly number[]; ageSeconds: number },
): Uint8Array {
  const copy = message.slice()
  const view = new DataView(copy.buffer)
  view.setUint16(0, id)
  for (const at of ttlOffsets) view.setUint32(at, Math.max(0, view.getUint32(at) - ageSeconds))
  return copy
}

/** Throws when the message is damaged. */
export const parseMessage = (message: Uint8Array): Required<Packet> =>
  decode(Buffer.from(message.buffer, message.byteOffset, message.byteLength))

export const idOf = (message: Uint8Array): number => ((message[0] ?? 0) << 8) | (message[1] ?? 0)

/** A message on TCP has its length in front (RFC 1035 §4.2.2). */
export function frame(message: Uint8Array): Uint8Array {
  const framed = new Uint8Array(message.length + 2)
  framed[0] = message.length >> 8
  framed[1] = message.length & 0xff
  framed.set(message, 2)
  return framed
}

/** Takes whole messages out of a stream's chunks. */
export function deframer(onMessage: (message: Uint8Array) => void): (chunk: Uint8Array) => void {
  let kept = new Uint8Array()
  return (chunk) => {
    let bytes = new Uint8Array(kept.length + chunk.length)
    bytes.set(kept)
    bytes.set(chunk, kept.length)
    while (bytes.length >= 2) {
      const end = 2 + (((bytes[0] ?? 0) << 8) | (bytes[1] ?? 0))
      if (bytes.length < end) break
      onMessage(bytes.slice(2, end))
      bytes = bytes.slice(end)
    }
    kept = bytes
  }
}
