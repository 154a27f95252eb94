import assert from 'node:assert/strict'
import { test } from 'node:test'
import { randomUuid } from './uuid.ts'

test('random names have the form of version 4, and no two are the same', () => {
  const seen = new Set<string>()
  for (let i = 0; i < 2000; i++) {
    const uuid = randomUuid()
    assert.match(uuid, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    seen.add(uuid)
  }
  assert.equal(seen.size, 2000)
})

test('every digit that may be chance is', () => {
  const values = Array.from({ length: 36 }, () => new Set<string>())
  for (let i = 0; i < 1000; i++)
    for (const [at, digit] of randomUuid().split('').entries()) values[at]!.add(digit)
  const sizes = values.map(({ size }) => size)
  const expected = 'xxxxxxxx-xxxx-4xxx-yxxx-xxxxxxxxxxxx'
    .split('')
    .map((kind) => (kind === 'x' ? 16 : kind === 'y' ? 4 : 1))
  assert.deepEqual(sizes, expected)
})
