import assert from 'node:assert/strict'
import { test } from 'node:test'
import { grpcDeadline } from './index.ts'

test('a deadline lies ahead of the wall clock, also after that was set', (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() })
  for (const jumpMs of [0, 3_600_000, -7_200_000]) {
    const now = Date.now() + jumpMs
    t.mock.timers.setTime(now)
    assert.equal(grpcDeadline(5000), now + 5000)
  }
})
