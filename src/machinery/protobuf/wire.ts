/** The wire format of protobuf: numbers, texts, and messages with their length before them. */
import { badRequest } from '../status.ts'

export const VARINT = 0
export const FIXED64 = 1
export const BYTES = 2
/** Messages in messages; a schema of a custom resource takes two or three for each level of its objects. */
const MAX_MESSAGE_DEPTH = 500

const text = new TextEncoder()
export const decodeText = new TextDecoder()

/** Fields one after another; a message is begun before its length is known. */
export class Writer {
  #buffer = new Uint8Array(1024)
  #view = new DataView(this.#buffer.buffer)
  #length = 0

  #room(more: number): void {
    if (this.#length + more <= this.#buffer.length) return
    const next = new Uint8Array(Math.max(this.#buffer.length * 2, this.#length + more))
    next.set(this.#buffer.subarray(0, this.#length))
    this.#buffer = next
    this.#view = new DataView(next.buffer)
  }
  get length(): number {
    return this.#length
  }
  byte(value: number): void {
    this.#room(1)
    this.#buffer[this.#length++] = value
  }
  varint(value: number): void {
    if (value < 0 || value > 0x7fff_ffff) {
      this.#wide(Math.trunc(value))
      return
    }
    this.#room(5)
    let rest = value
    while (rest > 0x7f) {
      this.#buffer[this.#length++] = (rest & 0x7f) | 0x80
      rest >>>= 7
    }
    this.#buffer[this.#length++] = rest
  }
  /** An integer that numbers hold exactly. */
  #wide(value: number): void {
    if (value < 0) return this.varint64(BigInt(value))
    this.#room(10)
    let rest = value
    while (rest > 0x7f) {
      this.#buffer[this.#length++] = (rest % 128) | 0x80
      rest = Math.floor(rest / 128)
    }
    this.#buffer[this.#length++] = rest
  }
  varint64(value: bigint): void {
    this.#room(10)
    let rest = BigInt.asUintN(64, value)
    while (rest > 0x7fn) {
      this.#buffer[this.#length++] = Number(rest & 0x7fn) | 0x80
      rest >>= 7n
    }
    this.#buffer[this.#length++] = Number(rest)
  }
  double(value: number): void {
    this.#room(8)
    this.#view.setFloat64(this.#length, value, true)
    this.#length += 8
  }
  raw(bytes: Uint8Array): void {
    this.#room(bytes.length)
    this.#buffer.set(bytes, this.#length)
    this.#length += bytes.length
  }
  /** Few bytes, which a loop copies faster. */
  few(bytes: Uint8Array): void {
    const { length } = bytes
    this.#room(length)
    for (let i = 0; i < length; i++) this.#buffer[this.#length + i] = bytes[i]!
    this.#length += length
  }
  string(value: string): void {
    const { length } = value
    this.#room(length * 3 + 5)
    // Most are short and plain: a loop is faster than the encoder.
    if (length < 64) {
      const buffer = this.#buffer
      const start = this.#length + 1
      let i = 0
      for (; i < length; i++) {
        const code = value.charCodeAt(i)
        if (code > 0x7f) break
        buffer[start + i] = code
      }
      if (i === length) {
        buffer[this.#length] = length
        this.#length = start + length
        return
      }
    }
    const bytes = text.encode(value)
    this.varint(bytes.length)
    this.raw(bytes)
  }
  tag(number: number, wire: number): void {
    if (number > 15) return this.varint(number * 8 + wire)
    this.#room(1)
    this.#buffer[this.#length++] = (number << 3) | wire
  }
  /** Begins what is written with its length before it; gives its place to `end`. */
  begin(): number {
    this.byte(0)
    return this.#length
  }
  end(start: number): void {
    const size = this.#length - start
    if (size < 128) {
      this.#buffer[start - 1] = size
      return
    }
    let extra = 0
    for (let rest = size >>> 7; rest > 0; rest >>>= 7) extra++
    this.#room(extra)
    this.#buffer.copyWithin(start + extra, start, this.#length)
    this.#length += extra
    for (let i = start - 1, rest = size; ; i++, rest >>>= 7) {
      this.#buffer[i] = rest > 0x7f ? (rest & 0x7f) | 0x80 : rest
      if (rest <= 0x7f) break
    }
  }
  /** Forgets what was written, for the next. */
  clear(): void {
    this.#length = 0
  }
  /** What was written, until something else is. */
  view(): Uint8Array {
    return this.#buffer.subarray(0, this.#length)
  }
  done(): Uint8Array {
    const bytes = this.view()
    if (this.#length > BLOCK_BYTES / 8) return bytes.slice()
    if (used + this.#length > BLOCK_BYTES) {
      block = Buffer.allocUnsafeSlow(BLOCK_BYTES)
      used = 0
    }
    block.set(bytes, used)
    return block.subarray(used, (used += this.#length))
  }
}

/** Messages are cut out of large blocks: a hundred thousand buffers of their own cost the collector more than the work. */
const BLOCK_BYTES = 128 * 1024
let block = Buffer.alloc(0)
let used = BLOCK_BYTES

/** Fields as they come, each with its number and form. */
export class Reader {
  readonly #bytes: Uint8Array
  readonly #end: number
  #at: number
  readonly #depth: number
  constructor(bytes: Uint8Array, at = 0, depth = 0) {
    if (depth > MAX_MESSAGE_DEPTH)
      throw badRequest(`the protobuf body is nested deeper than ${MAX_MESSAGE_DEPTH} messages`)
    this.#bytes = bytes
    this.#at = at
    this.#end = bytes.length
    this.#depth = depth
  }
  /** Of the message that comes next. */
  message(): Reader {
    return this.of(this.bytes())
  }
  /** Of a message inside this one. */
  of(bytes: Uint8Array): Reader {
    return new Reader(bytes, 0, this.#depth + 1)
  }
  get more(): boolean {
    return this.#at < this.#end
  }
  varint(): bigint {
    let value = 0n
    for (let shift = 0n; shift < 70n; shift += 7n) {
      if (this.#at >= this.#end) throw cut()
      const byte = this.#bytes[this.#at++] ?? 0
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return BigInt.asUintN(64, value)
    }
    throw badRequest('the protobuf body has a number longer than 64 bits')
  }
  small(): number {
    let value = 0
    for (let shift = 0; shift < 28; shift += 7) {
      if (this.#at >= this.#end) throw cut()
      const byte = this.#bytes[this.#at++] ?? 0
      value |= (byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
    this.#at -= 4
    return Number(this.varint())
  }
  double(): number {
    if (this.#at + 8 > this.#end) throw cut()
    const value = new DataView(this.#bytes.buffer, this.#bytes.byteOffset + this.#at, 8).getFloat64(
      0,
      true,
    )
    this.#at += 8
    return value
  }
  bytes(): Uint8Array {
    const length = this.small()
    if (length < 0 || this.#at + length > this.#end) throw cut()
    const part = this.#bytes.subarray(this.#at, this.#at + length)
    this.#at += length
    return part
  }
  string(): string {
    return decodeText.decode(this.bytes())
  }
  skip(wire: number): void {
    if (wire === VARINT) this.varint()
    else if (wire === FIXED64) this.#at += 8
    else if (wire === BYTES) this.bytes()
    else if (wire === 5) this.#at += 4
    else throw badRequest(`the protobuf body has an unknown wire type ${wire}`)
    if (this.#at > this.#end) throw cut()
  }
}

const cut = (): Error => badRequest('the protobuf body ends in the middle of a field')
