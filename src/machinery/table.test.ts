import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Column } from './definition.ts'
import type { KubeObject } from './object.ts'
import { ageOf, humanDuration, tableOf } from './table.ts'

const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

test('durations have the words that kubectl has for them', () => {
  const words: readonly (readonly [number, string])[] = [
    [-2 * SECOND, '<invalid>'],
    [-SECOND, '0s'],
    [0, '0s'],
    [119 * SECOND, '119s'],
    [2 * MINUTE, '2m'],
    [5 * MINUTE + 3 * SECOND, '5m3s'],
    [10 * MINUTE + 3 * SECOND, '10m'],
    [179 * MINUTE, '179m'],
    [3 * HOUR, '3h'],
    [3 * HOUR + MINUTE, '3h1m'],
    [8 * HOUR + MINUTE, '8h'],
    [47 * HOUR, '47h'],
    [48 * HOUR, '2d'],
    [2 * DAY + 4 * HOUR, '2d4h'],
    [8 * DAY + HOUR, '8d'],
    [729 * DAY, '729d'],
    [730 * DAY, '2y'],
    [731 * DAY, '2y1d'],
    [8 * 365 * DAY + DAY, '8y'],
  ]
  for (const [ms, wanted] of words) assert.equal(humanDuration(ms), wanted)
})

test('an age is never told longer than it is, and off by less than a sixth', () => {
  const units: Readonly<Record<string, number>> = {
    s: SECOND,
    m: MINUTE,
    h: HOUR,
    d: DAY,
    y: 365 * DAY,
  }
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 7 * 365 }), fc.nat(DAY), (days, more) => {
      const ms = days * DAY + more
      const told = [...humanDuration(ms).matchAll(/(\d+)([smhdy])/g)].reduce(
        (sum, [, count, unit]) => sum + Number(count) * (units[unit ?? ''] ?? 0),
        0,
      )
      assert.ok(told <= ms && ms - told < Math.max(SECOND, ms * 0.15), `${ms}: ${told}`)
    }),
  )
})

const now = new Date('2026-01-01T00:10:00Z')
const pod: KubeObject & { spec: object } = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'a', creationTimestamp: '2026-01-01T00:00:00Z' } as KubeObject['metadata'],
  spec: {},
}
const column = (name: string, type: string, value: (object: never) => unknown): Column => ({
  name,
  type,
  format: '',
  priority: 0,
  value,
})
const columns = [
  column('Name', 'string', ({ metadata }: KubeObject) => metadata.name),
  column('Age', 'date', ({ metadata }: KubeObject) => metadata.creationTimestamp),
  column('Gone', 'string', () => undefined),
  column('Count', 'integer', () => undefined),
]

test('a row has a cell for each column, and as much of the object as was asked for', () => {
  const rowsOf = (includeObject?: 'None' | 'Metadata' | 'Object') => {
    const options = includeObject === undefined ? { now } : { now, includeObject }
    return tableOf(columns, [pod], { resourceVersion: '7' }, options)['rows']
  }
  const cells = ['a', '10m', '', 0]
  const partial = {
    kind: 'PartialObjectMetadata',
    apiVersion: 'meta.k8s.io/v1',
    metadata: pod.metadata,
  }
  assert.deepEqual(rowsOf(), [{ cells, object: partial }])
  assert.deepEqual(rowsOf('Object'), [{ cells, object: pod }])
  assert.deepEqual(rowsOf('None'), [{ cells, object: null }])
})

test('columns come once in a watch, and the list says its version', () => {
  const table = tableOf(columns, [], { resourceVersion: '7' }, { now })
  assert.deepEqual(table['metadata'], { resourceVersion: '7' })
  assert.equal((table['columnDefinitions'] as unknown[]).length, 4)
  const later = tableOf(columns, [pod], {}, { now, columnDefinitions: false })
  assert.equal(later['columnDefinitions'], null)
  assert.equal((later['rows'] as unknown[]).length, 1)
})

test('no time has no age', () => {
  assert.equal(ageOf(undefined, now), '<unknown>')
  assert.equal(ageOf('', now), '<unknown>')
})
