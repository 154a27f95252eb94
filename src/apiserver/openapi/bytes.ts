/** Large documents are written in slices, so that other requests get their turn in between. */
import { createHash } from 'node:crypto'

/** So much is written before others get their turn: about a millisecond's work. */
const SLICE_BYTES = 128 * 1024

/** Collects what is written, and what it amounts to. */
export class ByteWriter {
  readonly #pause: () => Promise<void>
  readonly #hash = createHash('sha256')
  readonly #chunks: Uint8Array[] = []
  readonly #encoder = new TextEncoder()
  #text = ''
  #sincePause = 0

  constructor(pause: () => Promise<void>) {
    this.#pause = pause
  }

  async text(text: string): Promise<void> {
    this.#text += text
    if (this.#text.length >= SLICE_BYTES) await this.#flush()
  }

  async bytes(bytes: Uint8Array): Promise<void> {
    this.#add(bytes)
    if (this.#sincePause >= SLICE_BYTES) await this.#flush()
  }

  #add(bytes: Uint8Array): void {
    this.#hash.update(bytes)
    this.#chunks.push(bytes)
    this.#sincePause += bytes.byteLength
  }

  async #flush(): Promise<void> {
    if (this.#text !== '') this.#add(this.#encoder.encode(this.#text))
    this.#text = ''
    this.#sincePause = 0
    await this.#pause()
  }

  async end(): Promise<{ readonly bytes: Uint8Array; readonly hash: string }> {
    await this.#flush()
    return { bytes: Buffer.concat(this.#chunks), hash: this.#hash.digest('hex').toUpperCase() }
  }
}

/** Below this level the members of a document are small. */
const SLICED_LEVELS = 3

/** The JSON text of a value, in parts that together are what `JSON.stringify` gives. */
export function* jsonParts(value: unknown, levels = SLICED_LEVELS): Generator<string> {
  if (levels === 0 || value === null || typeof value !== 'object' || Array.isArray(value)) {
    yield JSON.stringify(value)
    return
  }
  let before = '{'
  for (const [key, member] of Object.entries(value)) {
    if (member === undefined) continue
    yield `${before}${JSON.stringify(key)}:`
    yield* jsonParts(member, levels - 1)
    before = ','
  }
  yield before === '{' ? '{}' : '}'
}
