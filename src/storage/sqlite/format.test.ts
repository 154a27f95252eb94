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
