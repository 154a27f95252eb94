import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Slabs, type SlabEntry } from './slabs.ts'

const text = (entry: SlabEntry): string => Buffer.from(entry.value).toString()

test('what is held outlives its release, and is given back when it is let go', () => {
  const slabs = new Slabs()
  const held = slabs.add('/held', Buffer.from('x'.repeat(20_000)), 1, 1)
  const place = held.slab
  slabs.hold(held)
  slabs.release(held)
  // Fills the slab, whose other entries die: what is held moves on.
  for (let n = 0; n < 10; n++)
    slabs.release(slabs.add(`/${n}`, Buffer.from('y'.repeat(20_000)), n, n))
  assert.equal(text(held), 'x'.repeat(20_000))
  assert.notEqual(held.slab, place)
  const { live = 0 } = held.slab ?? {}
  slabs.letGo(held)
  assert.equal(held.slab?.live, live - 20_000)
})

test('whatever is added, held, let go and released: what somebody still has reads as it was written', () => {
  const step = fc.oneof(
    fc.record({ type: fc.constant('add' as const), size: fc.integer({ min: 1, max: 40_000 }) }),
    fc.record({
      type: fc.constantFrom('hold' as const, 'letGo' as const, 'release' as const),
      of: fc.nat(),
    }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const slabs = new Slabs()
      let all: { entry: SlabEntry; value: string; holders: number; isReleased: boolean }[] = []
      for (const [n, each] of steps.entries()) {
        if (each.type === 'add') {
          const value = String.fromCharCode(97 + (n % 26)).repeat(each.size)
          const entry = slabs.add(`/${n}`, Buffer.from(value), n, n)
          all.push({ entry, value, holders: 0, isReleased: false })
          continue
        }
        const one = all[each.of % Math.max(1, all.length)]
        if (one === undefined) continue
        if (each.type === 'release') {
          slabs.release(one.entry)
          one.isReleased = true
        } else if (each.type === 'hold') {
          slabs.hold(one.entry)
          one.holders++
        } else if (one.holders > 0) {
          slabs.letGo(one.entry)
          one.holders--
        }
        all = all.filter(({ holders, isReleased }) => holders > 0 || !isReleased)
        for (const { entry, value } of all) assert.equal(text(entry), value)
      }
    }),
  )
})

const MB = 1024 * 1024

/** Values of half a megabyte, each of its own byte. */
function fill(slabs: Slabs, count: number, first = 0): SlabEntry[] {
  return Array.from({ length: count }, (_, i) =>
    slabs.add(`/${first + i}`, Buffer.alloc(MB / 2, first + i + 1), first + i, first + i),
  )
}

const check = (entries: readonly SlabEntry[]): void => {
  for (const { value, modified } of entries) {
    assert.equal(value.byteLength, MB / 2)
    assert.ok(value.every((byte) => byte === modified + 1))
  }
}

test('memory that another thread has touched is used next, and keeps what is put there', async () => {
  const touched: Uint8Array[] = []
  const slabs = new Slabs(async (bytes) => {
    bytes.fill(0)
    touched.push(bytes)
  })
  const entries = fill(slabs, 20)
  await Promise.resolve()
  entries.push(...fill(slabs, 20, 20))
  await Promise.resolve()
  entries.push(...fill(slabs, 20, 40))
  check(entries)
  assert.ok(touched.length > 1)
  const used = touched.filter((bytes) => entries.some(({ value }) => value.buffer === bytes.buffer))
  assert.ok(used.length > 0)
})

test('nobody waits for memory that is being touched, and nothing is put there until then', async () => {
  const done = Promise.withResolvers<void>()
  const touched: Uint8Array[] = []
  const slabs = new Slabs((bytes) => {
    touched.push(bytes)
    return done.promise
  })
  const entries = fill(slabs, 40)
  assert.equal(touched.length, 1)
  touched[0]!.fill(0)
  check(entries)
  done.resolve()
  await done.promise
  entries.push(...fill(slabs, 20, 40))
  check(entries)
  assert.ok(entries.some(({ value }) => value.buffer === touched[0]!.buffer))
})

test('small stores have nothing touched for them', () => {
  let count = 0
  const slabs = new Slabs(async () => void count++)
  for (let i = 0; i < 100; i++) slabs.add(`/${i}`, Buffer.alloc(1000), i, i)
  assert.equal(count, 0)
})
