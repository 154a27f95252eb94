import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isOf } from './logs.ts'

test('a component of the log is found under the names that it logs with', () => {
  const line = (component: string): string =>
    `08:38:03.421  INFO   ${component}  Something happened  field=1`
  assert.equal(isOf(line('service-proxy'), 'proxy'), true)
  assert.equal(isOf(line('garbage-collector'), 'controllers'), true)
  assert.equal(isOf(line('navarch'), 'cluster'), true)
  assert.equal(isOf(line('scheduler'), 'controllers'), false)
  assert.equal(isOf(line('scheduler'), undefined), true)
  const json =
    '{"time":"2026-01-01T00:00:00Z","level":"info","component":"kubelet","message":"x  y  z"}'
  assert.equal(isOf(json, 'kubelet'), true)
  assert.equal(isOf(json, 'scheduler'), false)
})
