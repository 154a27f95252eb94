import assert from 'node:assert/strict'
import { test } from 'node:test'
import { graceOf } from './keys.ts'

test('a grace is of hours or days, or for ever', () => {
  assert.equal(graceOf('48h'), 48 * 3600_000)
  assert.equal(graceOf('2d'), 48 * 3600_000)
  assert.equal(graceOf('0'), undefined)
  assert.throws(() => graceOf('soon'), /--grace must be like 48h, 366d or 0/)
})
