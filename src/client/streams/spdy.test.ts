import assert from 'node:assert/strict'
import { test } from 'node:test'
import { constants, createDeflate, inflateRawSync } from 'node:zlib'
import fc from 'fast-check'
import { duplexPair } from '#base'
import { adler32, dictionary, headerReader, headerWriter } from './spdy-headers.ts'
import { serveSpdy, type SpdyStream } from './spdy-server.ts'
import { parseFrame } from './websocket.ts'

/** Compresses as clients do: one stream, flushed after each block. */
async function compressed(blocks: readonly Buffer[]): Promise<readonly Buffer[]> {
  const deflate = createDeflate({ dictionary })
  const made: Buffer[] = []
  for (const block of blocks)
    made.push(
      await new Promise((resolve) => {
        const parts: Buffer[] = []
        const collect = (part: Buffer): void => void parts.push(part)
        deflate.on('data', collect)
        deflate.write(block)
        deflate.flush(constants.Z_SYNC_FLUSH, () => {
          deflate.removeListener('data', collect)
          resolve(Buffer.concat(parts))
        })
      }),
    )
  return made
}

function pairs(headers: Readonly<Record<string, string>>): Buffer {
  const uint32 = (value: number): Buffer => {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32BE(value)
    return bytes
  }
  return Buffer.concat([
    uint32(Object.keys(headers).length),
    ...Object.entries(headers).flatMap((pair) =>
      pair.flatMap((text) => [uint32(Buffer.byteLength(text)), Buffer.from(text)]),
    ),
  ])
}

test('the dictionary of header blocks is the one that all others have', () => {
  assert.equal(dictionary.length, 1423)
  assert.equal(adler32(dictionary), 0xe3c6a7c2)
})

test('header blocks are read as one stream, and ours can be read by others', async () => {
  const all = Array.from({ length: 50 }, (_, i) => ({
    streamtype: i % 2 ? 'data' : 'error',
    port: '8080',
    requestid: String(i),
    padding: 'x'.repeat(i * 37),
  }))
  const readBlock = headerReader()
  for (const [i, block] of (await compressed(all.map(pairs))).entries())
    assert.deepEqual(readBlock(block), all[i])

  const writeBlock = headerWriter()
  // Go's reader refuses names in capitals.
  const first = writeBlock({ A: 'b' })
  const second = writeBlock({})
  const plain = inflateRawSync(Buffer.concat([first.subarray(6), second]), {
    dictionary,
    finishFlush: constants.Z_SYNC_FLUSH,
  })
  assert.deepEqual(plain, Buffer.concat([pairs({ a: 'b' }), pairs({})]))
})

test('SPDY streams carry data both ways, whatever the pieces in which it arrives', async () => {
  const [near, far] = duplexPair()
  const opened: SpdyStream[] = []
  serveSpdy(near, (stream) => {
    opened.push(stream)
    stream.pipe(stream)
  })
  const frame = (first: number, flags: number, payload: Buffer): Buffer => {
    const head = Buffer.alloc(8)
    head.writeUInt32BE(first >>> 0)
    head[4] = flags
    head.writeUIntBE(payload.length, 5, 3)
    return Buffer.concat([head, payload])
  }
  const [block] = await compressed([pairs({ streamtype: 'data' })])
  const syn = Buffer.alloc(10)
  syn.writeUInt32BE(1)
  const bytes = Buffer.concat([
    frame(0x80030001, 0, Buffer.concat([syn, block!])),
    frame(1, 0, Buffer.from('hello ')),
    frame(0x80030006, 0, Buffer.of(0, 0, 0, 9)),
    frame(1, 1, Buffer.from('world')),
  ])
  const answers: Buffer[] = []
  far.on('data', (chunk: Buffer) => answers.push(chunk))
  for (const byte of bytes) far.write(Buffer.of(byte))
  await new Promise((resolve) =>
    opened.length > 0
      ? opened[0]!.once('close', resolve)
      : setImmediate(() => opened[0]!.once('close', resolve)),
  )
  let rest = Buffer.concat(answers)
  const seen: string[] = []
  while (rest.length >= 8) {
    const size = 8 + rest.readUIntBE(5, 3)
    const payload = rest.subarray(8, size)
    const first = rest.readUInt32BE(0)
    seen.push(
      first >= 0x80000000
        ? `control ${first & 0xffff}`
        : `data ${payload.toString()}${rest[4] === 1 ? ' end' : ''}`,
    )
    rest = rest.subarray(size)
  }
  assert.deepEqual(
    seen.filter((text) => text.startsWith('control')),
    ['control 2', 'control 6'],
  )
  assert.equal(
    seen
      .filter((text) => text.startsWith('data'))
      .map((text) => text.slice(5))
      .join(''),
    'hello world end',
  )
})

test('a frame is the same however it is cut, and rubbish is refused', () => {
  const masked = (payload: Uint8Array, key: Uint8Array): Buffer => {
    const { length } = payload
    const head =
      length < 126
        ? Buffer.of(0x82, 0x80 | length)
        : Buffer.of(0x82, 0x80 | 126, length >> 8, length & 0xff)
    return Buffer.concat([head, key, Buffer.from(payload.map((byte, i) => byte ^ key[i % 4]!))])
  }
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 300 }),
      fc.uint8Array({ minLength: 4, maxLength: 4 }),
      fc.nat(320),
      (payload, key, cut) => {
        const bytes = masked(payload, key)
        const parsed = parseFrame(bytes)
        assert.ok('frame' in parsed)
        assert.deepEqual(parsed.frame.payload, Buffer.from(payload))
        assert.equal(parsed.size, bytes.length)
        if (cut < bytes.length) {
          const partial = parseFrame(bytes.subarray(0, cut))
          assert.ok('needed' in partial && partial.needed > cut && partial.needed <= bytes.length)
        }
      },
    ),
  )
  assert.throws(() => parseFrame(Buffer.of(0x82, 0x05, 1, 2, 3, 4, 5)), /not masked/)
  assert.throws(() => parseFrame(Buffer.of(0xf2, 0x85)), /reserved/)
})
