import assert from 'node:assert/strict'
import { test } from 'node:test'
import { timestamp } from './time.ts'

test('a time is told in whole seconds, whichever was told before', () => {
  const times = ['2026-01-02T03:04:05.999Z', '2026-01-02T03:04:05.000Z', '1969-12-31T23:59:59.500Z']
  for (const time of [...times, ...times.toReversed()])
    assert.equal(timestamp(new Date(time)), `${time.slice(0, 19)}Z`)
})
test('what is no time is refused', () => {
  assert.throws(() => timestamp(new Date(Number.NaN)), RangeError)
})
