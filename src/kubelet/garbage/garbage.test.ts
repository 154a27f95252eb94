import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Image } from '../runtime.ts'
import { container } from '../testing/pods.ts'
import { containersToRemove } from './containers.ts'
import { DEFAULT_MARKS, bytesToFree, imagesToRemove, recordImages } from './images.ts'

const image = (id: string, more: Partial<Image> = {}): Image => ({
  id,
  tags: [`${id}:1`],
  digests: [`${id}@sha256:1`],
  sizeBytes: 100,
  username: '',
  pinned: false,
  ...more,
})
const ids = (images: readonly Image[]) => images.map(({ id }) => id)
const MINUTE = 60_000

test('nothing is freed below the high mark, and above it down to the low one', () => {
  const disk = (availableBytes: number) => ({ availableBytes, totalBytes: 1000 })
  assert.equal(bytesToFree(disk(160), DEFAULT_MARKS), 0)
  assert.equal(bytesToFree(disk(150), DEFAULT_MARKS), 50)
  assert.equal(bytesToFree(disk(0), DEFAULT_MARKS), 200)
  assert.equal(bytesToFree({ availableBytes: 0, totalBytes: 0 }, DEFAULT_MARKS), 0)
  const large = (gib: number) => ({ availableBytes: gib * 2 ** 30, totalBytes: 1000 * 2 ** 30 })
  assert.equal(bytesToFree(large(20), DEFAULT_MARKS), 0)
  assert.equal(bytesToFree(large(7), DEFAULT_MARKS), 3 * 2 ** 30)
})

test('the image that was not used for longest goes first, and no more than needed', () => {
  const images = [image('a'), image('b'), image('c')]
  let records = recordImages(undefined, images, new Set(['a']), 0)
  records = recordImages(records, images, new Set(['b:1']), MINUTE)
  const at = { inUse: new Set<string>(), nowMs: 5 * MINUTE }
  assert.deepEqual(ids(imagesToRemove(images, records, { ...at, bytes: 101 })), ['c', 'a'])
  assert.deepEqual(ids(imagesToRemove(images, records, { ...at, bytes: Infinity })), [
    'c',
    'a',
    'b',
  ])
})

test('what is used, pinned, young, or was put here by hand stays', () => {
  const old = [
    image('used'),
    image('used-by-digest'),
    image('pinned', { pinned: true }),
    image('by-hand', { digests: [] }),
    image('free'),
  ]
  const first = recordImages(undefined, old, new Set(), 0)
  const images = [...old, image('young')]
  const records = recordImages(first, images, new Set(), 4 * MINUTE)
  const inUse = new Set(['used', 'used-by-digest@sha256:1'])
  const remove = (nowMs: number) =>
    ids(imagesToRemove(images, records, { inUse, nowMs, bytes: Infinity }))
  assert.deepEqual(remove(5 * MINUTE), ['free'])
  assert.deepEqual(remove(6 * MINUTE), ['free', 'young'])
})

test('of each container the newest and one that ended before stay', () => {
  const attempt = (n: number, state: 'running' | 'exited') =>
    container('app', { id: `app-${n}`, attempt: n, state })
  const runtime = {
    sandboxes: [],
    containers: [
      attempt(3, 'running'),
      attempt(2, 'exited'),
      attempt(1, 'exited'),
      attempt(0, 'exited'),
    ],
  }
  const found = (options?: { readonly all: boolean }) =>
    containersToRemove(runtime, options).map(({ id }) => id)
  assert.deepEqual(found(), ['app-1', 'app-0'])
  assert.deepEqual(found({ all: true }), ['app-2', 'app-1', 'app-0'])
})
