import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { checksum, decodeRow, encodeRow, type LoggedChange } from './format.ts'

const change = (value: Uint8Array, revision: number): LoggedChange => ({
  type: 'created',
  key: `/registry/pods/default/web-${revision}`,
  revision,
  created: revision,
  before: 0,
  value,
  origin: { actor: 'tester', time: 1000 + revision },
})

test('what was written together comes back as it was', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 3000 }), { minLength: 1, maxLength: 8 }),
      (values) => {
        const batch = values.map((value, at) => change(value, at + 1))
        const { header, data, crc } = encodeRow(batch)
        assert.equal(checksum(header, data), crc)
        const plain = [...decodeRow(header, data)].map((each) => ({
          ...each,
          value: Uint8Array.from(each.value),
        }))
        assert.deepEqual(plain, batch)
      },
    ),
  )
})

test('objects that are alike take little room, and others no more than they have', () => {
  const pod = Buffer.from(JSON.stringify({ kind: 'Pod', spec: { containers: 'x'.repeat(1500) } }))
  const alike = encodeRow(Array.from({ length: 20 }, (_, at) => change(pod, at + 1)))
  assert.ok(alike.data.byteLength < (20 * pod.byteLength) / 10)
  const secret = randomBytes(10_000)
  assert.equal(encodeRow([change(secret, 1)]).data.byteLength, secret.byteLength)
})

test('keys and times are read without the values', () => {
  const pod = Buffer.alloc(10_000, 'a')
  const [found] = decodeRow(encodeRow([change(pod, 7)]).header)
  assert.equal(found?.revision, 7)
  assert.equal(found?.value.byteLength, 0)
})

test('what is written together shares an origin, whether there are few of them or many', () => {
  const change = (n: number, cause: string): LoggedChange => ({
    type: 'created',
    key: `/${n}`,
    revision: n,
    created: n,
    before: 0,
    value: Buffer.from('x'),
    origin: { actor: 'jane', cause, time: 1 },
  })
  const causes = (batch: readonly LoggedChange[]) => {
    const { header, data } = encodeRow(batch)
    const read = [...decodeRow(header, data)].map(({ origin }) => origin.cause)
    const { origins } = JSON.parse(header) as { origins: readonly unknown[] }
    return { read, count: origins.length }
  }
  const same = Array.from({ length: 20 }, (_, n) => change(n, 'one'))
  assert.deepEqual(causes(same), { read: same.map(() => 'one'), count: 1 })
  const own = Array.from({ length: 20 }, (_, n) => change(n, `c${n}`))
  assert.deepEqual(causes(own), { read: own.map((_, n) => `c${n}`), count: 20 })
})

test('rows that are encoded one after the other keep their values', () => {
  const batch = (text: string): LoggedChange[] => [
    {
      type: 'created',
      key: '/a',
      revision: 2,
      created: 2,
      before: 0,
      value: randomBytes(20_000).fill(text, 0, 10_000),
      origin: { actor: 'jane', time: 1 },
    },
  ]
  const batches = [batch('a'), batch('b'), batch('c')]
  const rows = batches.map((each) => encodeRow(each))
  for (const [i, { header, data }] of rows.entries()) {
    const [read] = decodeRow(header, data)
    assert.deepEqual(Buffer.from(read!.value), batches[i]![0]!.value)
  }
})
