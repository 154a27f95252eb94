import assert from 'node:assert/strict'
import { test } from 'node:test'
import { begun, ended, isFinished, type Migration } from './decide.ts'

const now = new Date('2026-01-01T00:00:00Z')
const migration: Migration = {
  metadata: { name: 'm', uid: 'u', resourceVersion: '1' } as Migration['metadata'],
  spec: { resource: { group: 'example.com', resource: 'widgets' } },
}
const conditionsOf = ({ status }: Migration): readonly (readonly string[])[] =>
  (status?.conditions ?? []).map((each) => [each.type, each.status, each.message ?? ''])

test('a migration runs, and then has succeeded', () => {
  const running = begun(migration, '42', now)
  assert.equal(isFinished(running), false)
  assert.equal(running.status?.resourceVersion, '42')
  assert.deepEqual(conditionsOf(running), [['Running', 'True', '']])
  const done = ended(running, undefined, now)
  assert.equal(isFinished(done), true)
  assert.deepEqual(conditionsOf(done), [
    ['Running', 'False', ''],
    ['Succeeded', 'True', ''],
  ])
  assert.equal(done.status?.resourceVersion, '42')
})

test('one that could not be carried out says why, and is not begun again', () => {
  const failed = ended(begun(migration, '42', now), 'no such resource', now)
  assert.equal(isFinished(failed), true)
  assert.deepEqual(conditionsOf(failed).at(-1), ['Failed', 'True', 'no such resource'])
})
