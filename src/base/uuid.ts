/** Random names (RFC 9562, version 4) as flat texts: Node's own are made of some twenty pieces, which a request would feel. */
import { randomFillSync } from 'node:crypto'

const BYTES = 16
const DIGITS = Buffer.from('0123456789abcdef')
const HYPHEN = 0x2d
const HYPHENS_BEFORE: ReadonlySet<number> = new Set([4, 6, 8, 10])
/** Chance is fetched for so many at once. */
const pool = Buffer.alloc(256 * BYTES)
const text = Buffer.alloc(36)
/** Where each byte's two digits stand in the text. */
const places = placesOf()
let used = pool.length

export function randomUuid(): string {
  if (used === pool.length) {
    randomFillSync(pool)
    used = 0
  }
  const from = used
  used += BYTES
  pool[from + 6] = (pool[from + 6]! & 0x0f) | 0x40
  pool[from + 8] = (pool[from + 8]! & 0x3f) | 0x80
  for (let i = 0; i < BYTES; i++) {
    const byte = pool[from + i]!
    const at = places[i]!
    text[at] = DIGITS[byte >> 4]!
    text[at + 1] = DIGITS[byte & 0x0f]!
  }
  return text.toString('latin1')
}

function placesOf(): readonly number[] {
  const found: number[] = []
  let at = 0
  for (let i = 0; i < BYTES; i++) {
    if (HYPHENS_BEFORE.has(i)) text[at++] = HYPHEN
    found.push(at)
    at += 2
  }
  return found
}
