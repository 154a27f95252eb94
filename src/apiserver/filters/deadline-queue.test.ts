import assert from 'node:assert/strict'
import { test } from 'node:test'
import { virtualEnv } from '#base'
import { Deadlines } from './deadline-queue.ts'

const late = (): Error => new Error('late')

test('each answer has its own end, whoever began before', async () => {
  const env = virtualEnv()
  const deadlines = new Deadlines(env.clock, 1000)
  const ends: string[] = []
  const never = new Promise<string>(() => undefined)
  const note = (name: string, answer: Promise<string>): void =>
    void deadlines.within(answer, late).then(
      (value) => ends.push(`${name} ${value}`),
      (error: Error) => ends.push(`${name} ${error.message}`),
    )
  const good = Promise.withResolvers<string>()
  note('a', never)
  await env.advance(400)
  note('b', good.promise)
  note('c', never)
  note('d', Promise.reject(new Error('bad')))
  await env.advance(500)
  assert.deepEqual(ends, ['d bad'])
  good.resolve('good')
  await env.advance(100)
  assert.deepEqual(ends, ['d bad', 'b good', 'a late'])
  await env.advance(399)
  assert.equal(ends.length, 3)
  await env.advance(1)
  assert.deepEqual(ends.at(-1), 'c late')
})

test('nothing waits when nobody asks', async () => {
  const env = virtualEnv()
  let timers = 0
  const clock = {
    monotonic: () => env.clock.monotonic(),
    schedule: (ms: number, run: () => void) => {
      timers++
      const cancel = env.clock.schedule(ms, run)
      return () => {
        timers--
        cancel()
      }
    },
  }
  const deadlines = new Deadlines(clock, 1000)
  await Promise.all([
    deadlines.within(Promise.resolve(1), late),
    deadlines.within(Promise.resolve(2), late),
  ])
  assert.equal(timers, 0)
})
